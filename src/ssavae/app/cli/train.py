"""Commands that train: the demonstration, and any data."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssavae.app.cli.console import print_line, print_values, print_written
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    DataArgument,
    DeviceOption,
    KindOption,
    LabelsPerClassOption,
    PresetOption,
    TestFractionOption,
    examples,
    folder_option,
    fraction_or_default,
)
from ssavae.app.cli.reading import TRAINED, takes_reading
from ssavae.training.distributed import launcher

if TYPE_CHECKING:
    from ssavae.app.runs.folder import Run, RunFolder
    from ssavae.data.labelled import Reading

PROGRAM = "from ssavae.app.cli import main; main()"


@app.command(epilog=examples("demo --out runs/demo"))
def demo(
    context: typer.Context,
    out: Annotated[Path, folder_option("Folder for model, metrics and pictures.")] = Path("runs/demo"),
) -> None:
    """Train on the embedded digits.

    Both steps, with a map of two dimensions; writes model, metrics and pictures.
    """
    from ssavae.app.runs.folder import Run, RunFolder
    from ssavae.app.runs.settings import plan_parameters
    from ssavae.data.labelled import Reading

    parameters = plan_parameters("digits", {"latent_dim": 2}, [])
    _train(context, RunFolder(out), lambda: Run("digits", Reading(), 0.2, "digits", parameters))


@app.command(
    epilog=examples(
        "train mnist --preset mnist --out runs/mnist",
        "train parts.csv --label state --out runs/parts --set beta=0.02",
        "train bearings.csv --label fault --group machine --out runs/bearings",
        "train mnist --out runs/mnist100 --labels-per-class 10",
        "train mnist --out runs/mnist --resume",
        "train mnist --out runs/mnist --devices 2",
    )
)
@takes_reading(*TRAINED)
def train(
    context: typer.Context,
    data: DataArgument,
    reading: Reading,
    out: Annotated[Path, folder_option("Folder for model, metrics and pictures.")],
    kind: KindOption = None,
    latent_dim: Annotated[int | None, typer.Option(help="Dimensions of the code; 2 for a map.")] = None,
    preset: PresetOption = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any parameter of SSAVAE; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the unfinished run in --out with its own settings.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model or unfinished run in --out.")
    ] = False,
    labels_per_class: LabelsPerClassOption = None,
    label_fraction: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Learn from this fraction of each class's labels.")
    ] = None,
    labels_from: Annotated[
        str | None, typer.Option(help="Learn from the labels in a run's labels.json, or a .csv (row, label).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of split and training [default: 0].")] = None,
    device: DeviceOption = None,
    precision: Annotated[str | None, typer.Option(help="32-true, tf32 or bf16-mixed.")] = None,
    devices: Annotated[
        int | None, typer.Option(help="Processes that divide each batch, one for each GPU [default: 1].")
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(help="Machines with that many processes; needs torchrun [default: 1]."),
    ] = None,
    test_fraction: TestFractionOption = None,
    pictures: Annotated[bool, typer.Option(help="Draw the pictures; `ssavae draw` draws them later.")] = True,
) -> None:
    """Train both steps on DATA.

    Writes model, history, metrics and pictures into the folder --out.
    """
    from ssavae.app.runs.settings import plan_parameters, plan_reading
    from ssavae.data.label_budget import LabelBudget

    processes = launcher.process_counts(devices, nodes)
    options = {"latent_dim": latent_dim, "kind": kind, "device": device, "precision": precision}
    options |= {**processes, "random_state": seed}
    parameters = plan_parameters(preset, options, assignments or [])  # before torch, which takes seconds
    labels = LabelBudget(labels_per_class, label_fraction, labels_from)
    labels.check_given()
    print_line("loading PyTorch")
    from ssavae.app.runs.folder import Run, RunFolder

    folder = RunFolder(out)

    def resumed_run() -> Run | None:
        run = folder.read_resumed(data, _contradicting(context))
        return run and replace(run, parameters=run.parameters | processes)

    def new_run() -> Run:
        folder.check_free(overwrite)
        split = fraction_or_default(test_fraction)
        return Run(data, plan_reading(preset, reading), split, preset, parameters, labels)

    _train(context, folder, resumed_run if resume else new_run, resume, pictures)


def _contradicting(context: typer.Context) -> list[str]:
    """Return the options of a command line that --resume would have to ignore."""
    allowed = ("data", "out", "resume", "devices", "nodes", "pictures")
    given = [p for p in context.command.params if _is_typed(context, p.name)]
    return [p.opts[0] for p in given if p.name not in allowed]


def _is_typed(context: typer.Context, name: str | None) -> bool:
    source = None if name is None else context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _train(
    context: typer.Context,
    folder: RunFolder,
    plan: Callable[[], Run | None],
    resume: bool = False,
    pictures: bool = True,
) -> None:
    """Train the planned run, in processes of its own where there are to be several."""
    from ssavae.app.runs.train import saying_how_to_resume
    from ssavae.training.distributed.fabric import make_fabric
    from ssavae.training.parameters import check_params

    with folder.locked() if launcher.is_first() else nullcontext():
        run = plan()
        if run is None:
            _report_complete(folder)
            return
        parameters = run.parameters
        devices = parameters.get("devices", 1)
        check_params(parameters)
        if not launcher.must_launch(devices, parameters.get("nodes", 1)):
            _train_here(context, folder, run, resume, pictures)
            return
        make_fabric(parameters["device"], parameters["precision"], devices)  # fails before processes start
    with saying_how_to_resume(folder):
        launcher.run_processes([sys.executable, "-c", PROGRAM, *context.obj.words], devices)


def _report_complete(folder: RunFolder) -> None:
    if launcher.is_first():
        folder.complete()  # it may have been killed when only that was left to do
        print(f"the run in {folder.path} is complete: nothing to resume")


def _train_here(context: typer.Context, folder: RunFolder, run: Run, resume: bool, pictures: bool) -> None:
    from ssavae.app.runs.folder import SECONDS
    from ssavae.app.runs.train import train_run

    command = shlex.join(["ssavae", *context.obj.words])
    metrics, files = train_run(folder, run, resume=resume, command=command, pictures=pictures, say=print_line)
    if not launcher.is_first():
        return
    protocol = metrics.pop("protocol")
    seconds = {name: protocol[name] for name in SECONDS}
    print_values(f"{run.data}, latent_dim {run.parameters['latent_dim']}, test part", metrics | seconds)
    print_written(*files)
