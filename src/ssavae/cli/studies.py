"""Commands that train many models: the paper's figures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from ssavae.cli.app import app
from ssavae.cli.options import DRAWINGS, FormatOption, choice, examples
from ssavae.console import say_written


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
    from ssavae.experiments.reproduce import EXPERIMENTS, reproduced

    choice("WHAT", what, [*EXPERIMENTS, "all"])
    choice("--format", picture_format, [suffix[1:] for suffix in DRAWINGS])
    command = shlex.join(["ssavae", *context.obj.words])
    chosen: dict[str, Any] = {"fast": fast, "updates": updates, "n_train": rows, "seed": seed}
    chosen |= {"device": device, "command": command, "suffix": f".{picture_format}"}
    for file in reproduced(what, out, data, **chosen):
        say_written(file)
