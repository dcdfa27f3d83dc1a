"""Commands that train: the demonstration, and any data."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssavae.app.cli.console import print_values, say_written
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    DataArgument,
    DropOption,
    GroupOption,
    HopOption,
    KindOption,
    LabelOption,
    SpectrumOption,
    SummaryOption,
    TestFractionOption,
    WindowOption,
    examples,
    fraction,
)
from ssavae.training.distributed import launcher

if TYPE_CHECKING:
    from ssavae.app.runs.folder import Run


SAME_PROGRAM = "from ssavae.app.cli import main; main()"


@app.command(epilog=examples("demo --out runs/demo"))
def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for model, metrics and pictures.")] = Path("runs/demo"),
) -> None:
    """Train on the embedded digits.

    Both steps with a map of two dimensions; leaves model, metrics and pictures.
    """
    from ssavae.app.runs.folder import Run
    from ssavae.app.runs.settings import plan_parameters
    from ssavae.data.labelled import Reading

    parameters = plan_parameters("digits", {"latent_dim": 2}, [])
    _train(context, out, Run("digits", Reading(), 0.2, "digits", parameters))


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
def train(
    context: typer.Context,
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder for model, metrics and pictures.")],
    label: LabelOption = None,
    kind: KindOption = None,
    latent_dim: Annotated[int | None, typer.Option(help="Size of the code; 2 makes a map.")] = None,
    preset: Annotated[str | None, typer.Option(help="A set of the paper by name, or a .toml file.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any parameter of SSAVAE; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run in --out, as it was begun.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model or unfinished run in --out.")
    ] = False,
    group: GroupOption = None,
    drop: DropOption = None,
    window: WindowOption = None,
    hop: HopOption = None,
    spectrum: SpectrumOption = False,
    summary: SummaryOption = False,
    labels_per_class: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many labels of each class, drawn by --seed.")
    ] = None,
    label_fraction: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Learn from this share of each class's labels.")
    ] = None,
    labels_from: Annotated[
        str | None, typer.Option(help="Learn from the labels of a run's labels.json, or .csv (row, label).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of split and training [default: 0].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")] = None,
    devices: Annotated[
        int | None, typer.Option(help="Processes that share out each batch, one a GPU [default: 1].")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Machines with so many; torchrun has to start them [default: 1].")
    ] = None,
    test_fraction: TestFractionOption = None,
) -> None:
    """Train both steps on DATA.

    Leaves model, history, metrics and pictures in the folder --out.
    """
    from ssavae.app.runs.folder import Run, check_free, unfinished
    from ssavae.app.runs.settings import plan_parameters, plan_reading
    from ssavae.data.label_budget import LabelBudget

    options = {"latent_dim": latent_dim, "kind": kind, "device": device, "precision": precision}
    read_as: dict[str, Any] = {"label": label, "group": group, "drop": tuple(drop) if drop else None}
    read_as |= {"window": window, "hop": hop, "spectrum": spectrum or None, "summary": summary or None}
    several = launcher.process_counts(devices, nodes)
    if resume:
        told = {**options, **read_as, "preset": preset, "set": assignments, "seed": seed}
        told |= {"overwrite": overwrite or None, "test_fraction": test_fraction}
        told |= {"labels_per_class": labels_per_class, "labels_from": labels_from}
        told |= {"label_fraction": label_fraction}
        run = unfinished(out, data, told)
        _train(context, out, replace(run, parameters=run.parameters | several), resume=True)
        return
    parameters = plan_parameters(preset, options | several | {"random_state": seed}, assignments or [])
    check_free(out, overwrite)
    labels = LabelBudget(labels_per_class, label_fraction, labels_from)
    reading = plan_reading(preset, read_as)
    _train(context, out, Run(data, reading, fraction(test_fraction), preset, parameters, labels))


def _train(context: typer.Context, out: Path, run: Run, resume: bool = False) -> None:
    from ssavae.app.runs.folder import SECONDS
    from ssavae.app.runs.train import train_run
    from ssavae.training.distributed.fabric import make_fabric
    from ssavae.training.parameters import check_params

    devices, nodes = (run.parameters.get(name, 1) for name in ("devices", "nodes"))
    check_params(run.parameters)
    if launcher.must_launch(devices, nodes):
        make_fabric(run.parameters["device"], run.parameters["precision"], devices)
        launcher.run_processes([sys.executable, "-c", SAME_PROGRAM, *context.obj.words], devices)
        return
    command = shlex.join(["ssavae", *context.obj.words])
    metrics, files = train_run(out, run, resume=resume, command=command)
    if not launcher.is_first():
        return
    protocol = metrics.pop("protocol")
    metrics |= {name: protocol[name] for name in SECONDS if protocol[name] is not None}
    print_values(f"{run.data}, latent_dim {run.parameters['latent_dim']}, test part", metrics)
    say_written(*files)
