"""Commands that train many models: the paper's figures, sweeps over parameters."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ssavae.app.cli.console import print_table, say_written, shown_value, warn
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    DataArgument,
    DropOption,
    FormatOption,
    GroupOption,
    KindOption,
    LabelOption,
    TestFractionOption,
    choice,
    examples,
    fraction,
    picture_suffix,
)


@app.command(epilog=examples("reproduce figure7", "reproduce figure9 --data mnist --fast"))
def reproduce(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="figure7, figure9, cifar10 or all.")],
    out: Annotated[
        Path, typer.Option(help="Folder for pictures, numbers and all that can be resumed.")
    ] = Path("runs/reproduce"),
    data: Annotated[
        list[str] | None, typer.Option(help="Only this database; may be repeated [default: all four].")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A small version that ends in minutes.")] = False,
    updates: Annotated[int | None, typer.Option(min=1, help="Batches of step 2 in each cell.")] = None,
    rows: Annotated[int | None, typer.Option(min=1000, help="Training rows [default: all].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    picture_format: FormatOption = "png",
) -> None:
    """Make the paper's figures again, with the numbers behind them.

    Runs on from what --out already holds.
    """
    from ssavae.app.experiments.reproduce import EXPERIMENTS, reproduced

    choice("WHAT", what, [*EXPERIMENTS, "all"])
    command = shlex.join(["ssavae", *context.obj.words])
    chosen: dict[str, Any] = {"fast": fast, "updates": updates, "n_train": rows, "seed": seed}
    chosen |= {"device": device, "command": command, "suffix": picture_suffix(picture_format)}
    for file in reproduced(what, out, data, **chosen):
        say_written(file)


class ManyValues(TyperCommand):
    """A command whose options take several numbers after one another: ``--beta 0 0.01 0.1``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each further number, which is how click knows several values."""
        return super().parse_args(ctx, repeated(args, ("--latent-dim", "--beta", "--gamma", "--seed")))


def repeated(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Repeat an option before each number that follows its first value.

    >>> repeated(["x", "--beta", "0", "1e-2", "--out", "5"], ["--beta"])
    ['x', '--beta', '0', '--beta', '1e-2', '--out', '5']
    """
    found: list[str] = []
    option, n_values = None, 0
    for word in words:
        is_number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word) is not None
        if option is not None and is_number:
            found += [option] * (n_values > 0)
            n_values += 1
        else:
            option, n_values = (word if word in options else None), 0
        found.append(word)
    return found


@app.command(
    cls=ManyValues,
    epilog=examples(
        "sweep mnist --preset mnist --latent-dim 2 100 --beta 0 0.005 0.1 --gamma 0 0.1 --out runs/sweep",
        "sweep parts.csv --label state --set widths=[64],[128,128] --set batch_size=32,128 --out runs/w",
        "sweep mnist --beta 0.0001 0.1 --trials 20 --metric frechet_class_samples --out runs/drawn",
        "sweep mnist --beta 0 0.1 --out runs/sweep --storage postgresql://me@host/sweeps",
    ),
)
def sweep(
    context: typer.Context,
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder for the table, the picture, and a run for each cell.")],
    latent_dim: Annotated[list[int] | None, typer.Option(help="Sizes of the code.")] = None,
    beta: Annotated[list[float] | None, typer.Option(help="Weights of the adversarial loss.")] = None,
    gamma: Annotated[list[float] | None, typer.Option(help="Weights of the latent loss.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=V1,V2", help="Any parameter of SSAVAE; may be repeated."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cells that a sampler (TPE) chooses between the values given [default: all]."
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="What the best is chosen by [default: reconstruction_error].")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(envvar="SSAVAE_STORAGE", help="URL of a database to share [default: a file in --out]."),
    ] = None,
    grace: Annotated[
        int, typer.Option(min=4, help="Seconds of silence after which another worker counts as dead.")
    ] = 120,
    retry: Annotated[bool, typer.Option("--retry", help="Take up again the cells that failed.")] = False,
    preset: Annotated[str | None, typer.Option(help="As in `ssavae train`.")] = None,
    label: LabelOption = None,
    kind: KindOption = None,
    group: GroupOption = None,
    drop: DropOption = None,
    labels_per_class: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many labels of each class.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds of split and training [default: 0].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    test_fraction: TestFractionOption = None,
) -> None:
    """Train every combination of the values given, and say which is best.

    Run the same command again, here or on other machines (with --storage), and the cells are shared out; one
    that was stopped or killed is taken up again.  Cells that differ in step 2 alone share their step 1.
    """
    from ssavae.app.experiments.search_space import plan_space
    from ssavae.app.experiments.sweep import Sweep, work_on
    from ssavae.app.runs.folder import Run
    from ssavae.app.runs.settings import plan_reading
    from ssavae.data.label_budget import LabelBudget

    choices = {"latent_dim": latent_dim, "beta": beta, "gamma": gamma, "random_state": seed}
    given = {name: values for name, values in choices.items() if values}
    space = plan_space(preset, {"kind": kind, "device": device}, given, assignments or [])
    reading = plan_reading(preset, {"label": label, "group": group, "drop": tuple(drop) if drop else None})
    budget = LabelBudget(per_class=labels_per_class)
    run = Run(data, reading, fraction(test_fraction), preset, {}, budget)
    words = [word if word != storage else "..." for word in context.obj.words]  # it may hold a password
    command = shlex.join(
        ["ssavae", *(w if not w.startswith("--storage=") else "--storage=..." for w in words)]
    )
    chosen = metric or "reconstruction_error"
    found = Sweep(run, space, out, chosen, trials, storage, grace, retry, command)
    _tell(found, *work_on(found))


def _tell(found: Any, entries: list[Any], files: list[Path]) -> None:
    """Print every cell, the best of them and the files; cells that failed end the command with status 1."""
    from ssavae.app.experiments.search_space import name_of
    from ssavae.app.experiments.sweep import best_of

    names = list(found.space.swept)
    lines = [
        [*(str(e.cell[n]) for n in names), e.state, shown_value(e.found.get(found.metric))] for e in entries
    ]
    print_table([*names, "state", found.metric.replace("_", " ")], lines)
    best = best_of(found, entries)
    if best is not None:
        print(f"best: {name_of(best.cell)}, in {found.folder / 'cells' / name_of(best.cell)}")
    say_written(*files)
    failed = [e for e in entries if e.state == "failed"]
    for entry in failed:
        warn(f"{name_of(entry.cell)}: {entry.error}")
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(entries)} cells failed; --retry takes them up again")
