"""Commands that train many models: the paper's figures, sweeps over parameters."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ssavae.app.cli.console import format_value, print_table, print_written, warn
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    DataArgument,
    DeviceOption,
    FormatOption,
    KindOption,
    LabelsPerClassOption,
    PresetOption,
    TestFractionOption,
    check_choice,
    examples,
    folder_option,
    fraction_or_default,
    picture_suffix,
)
from ssavae.app.cli.reading import TRAINED, takes_reading
from ssavae.app.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from ssavae.app.experiments.optuna_worker import CellResult
    from ssavae.app.experiments.sweep import Sweep
    from ssavae.data.labelled import Reading


@app.command(epilog=examples("reproduce figure7", "reproduce figure9 --data mnist --fast"))
def reproduce(
    context: typer.Context,
    experiment: Annotated[str, typer.Argument(metavar="WHAT", help="figure7, figure9, cifar10 or all.")],
    out: Annotated[Path, folder_option("Folder for pictures, numbers and what is needed to resume.")] = Path(
        "runs/reproduce"
    ),
    data: Annotated[
        list[str] | None, typer.Option(help="Only this database; may be repeated [default: all four].")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A small version that takes minutes.")] = False,
    updates: Annotated[int | None, typer.Option(min=1, help="Batches of step 2 in each cell.")] = None,
    rows: Annotated[int | None, typer.Option(min=1000, help="Training rows [default: all].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    judge: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="A judge.safetensors of the same database [default: trained, or from --out].",
        ),
    ] = None,
    judge_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of the judge of cifar10 [default: 16].")
    ] = None,
    picture_format: FormatOption = "png",
) -> None:
    """Reproduce the paper's figures, with the numbers behind them.

    Continues from what is in --out already.
    """
    check_choice("WHAT", experiment, [*EXPERIMENTS, "all"])
    from ssavae.app.experiments.reproduce import reproduce_figures

    files = reproduce_figures(
        experiment,
        out,
        data,
        fast=fast,
        updates=updates,
        n_train=rows,
        seed=seed,
        device=device,
        judge=judge,
        judge_epochs=judge_epochs,
        command=shlex.join(["ssavae", *context.obj.words]),
        suffix=picture_suffix(picture_format),
    )
    for file in files:
        print_written(file)


class ManyValues(TyperCommand):
    """A command whose options take several numbers each: ``--beta 0 0.01 0.1``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each further number, as click expects several values."""
        return super().parse_args(ctx, repeated(args, ("--latent-dim", "--beta", "--gamma", "--seed")))


def repeated(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Repeat an option before each number that follows its first value.

    >>> repeated(["x", "--beta", "0", "1e-2", "--out", "5"], ["--beta"])
    ['x', '--beta', '0', '--beta', '1e-2', '--out', '5']
    """
    result: list[str] = []
    option = None
    for previous, word in zip(["", *words], words, strict=False):
        is_number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word) is not None
        if not is_number:
            option = word if word in options else None
        elif option is not None and previous != option:
            result.append(option)
        result.append(word)
    return result


@app.command(
    cls=ManyValues,
    epilog=examples(
        "sweep mnist --preset mnist --latent-dim 2 100 --beta 0 0.005 0.1 --gamma 0 0.1 --out runs/sweep",
        "sweep parts.csv --label state --set widths=[64],[128,128] --set batch_size=32,128 --out runs/w",
        "sweep mnist --beta 0.0001 0.1 --trials 20 --metric frechet_class_samples --out runs/drawn",
        "sweep mnist --beta 0 0.1 --out runs/sweep --storage postgresql://me@host/sweeps",
    ),
)
@takes_reading(*TRAINED)
def sweep(
    context: typer.Context,
    data: DataArgument,
    reading: Reading,
    out: Annotated[Path, folder_option("Folder for the table, the picture, and a run of each cell.")],
    latent_dim: Annotated[list[int] | None, typer.Option(help="Dimensions of the code.")] = None,
    beta: Annotated[list[float] | None, typer.Option(help="Weights of the adversarial loss.")] = None,
    gamma: Annotated[list[float] | None, typer.Option(help="Weights of the latent loss.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=V1,V2", help="Any parameter of SSAVAE; may be repeated."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cells that a sampler (TPE) chooses in the range of the values [default: all]."
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to choose the best by [default: reconstruction_error].")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(envvar="SSAVAE_STORAGE", help="URL of a shared database [default: a file in --out]."),
    ] = None,
    grace: Annotated[
        int,
        typer.Option(min=4, help="Seconds without a sign of life after which a worker is dead."),
    ] = 120,
    retry: Annotated[bool, typer.Option("--retry", help="Retry the cells that failed.")] = False,
    preset: PresetOption = None,
    kind: KindOption = None,
    labels_per_class: LabelsPerClassOption = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds of split and training [default: 0].")] = None,
    device: DeviceOption = None,
    test_fraction: TestFractionOption = None,
) -> None:
    """Train every combination of the given values, and print which is best.

    Run the same command again, here or on other machines (with --storage), to divide the cells among workers;
    a cell that was stopped or killed is retried.  Cells that differ in step 2 alone share their step 1.
    """
    from ssavae.app.experiments.search_space import plan_space
    from ssavae.app.runs.settings import plan_reading
    from ssavae.data.label_budget import LabelBudget

    choices = {"latent_dim": latent_dim, "beta": beta, "gamma": gamma, "random_state": seed}
    given = {name: values for name, values in choices.items() if values}
    space = plan_space(preset, {"kind": kind, "device": device}, given, assignments or [])
    reading = plan_reading(preset, reading)
    from ssavae.app.experiments.sweep import Sweep, work_on
    from ssavae.app.runs.folder import Run

    budget = LabelBudget(per_class=labels_per_class)
    run = Run(data, reading, fraction_or_default(test_fraction), preset, {}, budget)
    chosen = metric or "reconstruction_error"
    command = _command(context.obj.words, storage)
    plan = Sweep(run, space, out, chosen, trials, storage, grace, retry, command)
    _report(plan, *work_on(plan))


def _command(words: Sequence[str], storage: str | None) -> str:
    """Return the command without its storage, which may hold a password."""
    option = "--storage="
    hidden = [option + "..." if word.startswith(option) else word for word in words]
    return shlex.join(["ssavae", *("..." if word == storage else word for word in hidden)])


def _report(sweep: Sweep, results: list[CellResult], files: list[Path]) -> None:
    """Print every cell, the best of them and the files; cells that failed end the command with status 1."""
    from ssavae.app.experiments.search_space import name_of
    from ssavae.app.experiments.sweep import best_of

    names = list(sweep.space.swept)
    rows = [
        [*(str(r.cell[n]) for n in names), r.state, format_value(r.metrics.get(sweep.metric))]
        for r in results
    ]
    print_table([*names, "state", sweep.metric.replace("_", " ")], rows)
    best = best_of(sweep, results)
    if best is not None:
        print(f"best: {name_of(best.cell)}, in {sweep.folder / 'cells' / name_of(best.cell)}")
    print_written(*files)
    failed = [r for r in results if r.state == "failed"]
    for result in failed:
        warn(f"{name_of(result.cell)}: {result.error}")
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(results)} cells failed; --retry runs them again")
