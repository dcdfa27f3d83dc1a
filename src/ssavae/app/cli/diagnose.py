"""Commands about single rows and their order: monitor a run, say why, suggest what to label."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ssavae.app.cli.console import print_table, print_values, say_written, shown_value
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    DataArgument,
    FormatOption,
    LabelOption,
    OutOption,
    RunArgument,
    examples,
    picture_suffix,
    target,
)


@app.command(
    epilog=examples(
        "monitor runs/plant plant.csv --run 14",
        "monitor runs/plant - < new_rows.csv",
        "monitor runs/plant tennessee_eastman --run 6 --out fault6.csv",
    )
)
def monitor(
    run: RunArgument,
    data: Annotated[str, typer.Argument(help="As in `ssavae train`; - reads csv rows as they come.")],
    one: Annotated[str | None, typer.Option("--run", help="Follow this group [default: the first].")] = None,
    normal: Annotated[str | None, typer.Option(help="The class without a fault [default: normal].")] = None,
    run_length: Annotated[int, typer.Option(min=1, help="Rows in a row that raise an alarm.")] = 3,
    out: OutOption = None,
    picture_format: FormatOption = "png",
) -> None:
    """Follow a run over time.

    Class with confidence, novelty against its limit, the way over the map, alarms: a csv and a picture.
    From - a csv line is written for each row, or window, as soon as it is there.
    """
    from ssavae import figures
    from ssavae.app.runs import diagnose

    if data == "-":
        for line in diagnose.monitor_stream(run, sys.stdin, normal, run_length):
            typer.echo(line)
        return
    path = target(out, run / "monitor.csv", (".csv",))
    suffix = picture_suffix(picture_format)
    table, figure, told = diagnose.monitor_run(run, data, one, normal, run_length, path)
    print_values(f"{run} on {data}", told)
    say_written(table, figures.save(figure, path.with_suffix(suffix)))


@app.command(epilog=examples("why runs/plant plant.csv --row 120", "why runs/mnist mnist --row 0 --to 3"))
def why(
    run: RunArgument,
    data: DataArgument,
    row: Annotated[int, typer.Option(help="Row, as `ssavae evaluate` counts them from 0.")],
    to: Annotated[
        str | None, typer.Option(help="Class to compare with [default: normal, else the next].")
    ] = None,
    out: OutOption = None,
) -> None:
    """Say what puts a row where it is.

    Columns (of signals stretches, of images patches) that tell it from its counterpart in another class, and
    how they change on the way there.
    """
    from ssavae.app.runs import diagnose

    path = target(out, run / "why.csv", (".csv",))
    written, told, lines = diagnose.explain_row(run, data, row, to, path)
    print_values(f"{run} on {data}", told)
    print_table(lines[0], [[shown_value(value) for value in line] for line in lines[1:]])
    say_written(written)


@app.command(epilog=examples("suggest runs/few mnist -n 20"))
def suggest(
    run: RunArgument,
    data: DataArgument,
    n: Annotated[int, typer.Option("-n", min=1, help="Rows.")] = 20,
    out: OutOption = None,
    label: LabelOption = None,
) -> None:
    """Say which rows of DATA to label next.

    Best first, with an empty column for the label: rows that the classifier is unsure of, unlike one another.
    """
    from ssavae.app.runs import diagnose, output
    from ssavae.app.runs import folder as run_folder

    path = target(out, run / "suggestions.csv", (".csv", ".npz"))
    model, loaded = run_folder.open_run(run, data, label)
    say_written(output.write_rows(model, path, diagnose.suggestions(model, run, loaded, n)))
