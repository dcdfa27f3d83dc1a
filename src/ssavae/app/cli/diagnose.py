"""Commands for diagnosis: monitor a run, explain a row, suggest rows to label."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ssavae.app.cli.console import format_value, print_table, print_values, print_written
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    TABLE_SUFFIXES,
    DataArgument,
    FormatOption,
    OutOption,
    RunArgument,
    examples,
    output_path,
    picture_suffix,
)
from ssavae.app.cli.reading import APPLIED, TEXT_OPTIONS, takes_reading

if TYPE_CHECKING:
    from ssavae.data.labelled import Reading


@app.command(
    epilog=examples(
        "monitor runs/plant plant.csv --where run=14",
        "monitor runs/plant - < new_rows.csv",
        "monitor runs/te tennessee_eastman --where run_train=6 --out fault6.csv",
    )
)
@takes_reading(*TEXT_OPTIONS)
def monitor(
    run: RunArgument,
    data: Annotated[str, typer.Argument(help="As in `ssavae train`; - reads csv rows as they come.")],
    reading: Reading,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN=VALUE", help="The group to follow, COLUMN as in --group [default: the first]."
        ),
    ] = None,
    normal: Annotated[str | None, typer.Option(help="The class without a fault [default: normal].")] = None,
    run_length: Annotated[int, typer.Option(min=1, help="Rows in a row that raise an alarm.")] = 3,
    out: OutOption = None,
    picture_format: FormatOption = "png",
) -> None:
    """Follow one group of rows over time.

    Class with confidence, novelty against its limit, the path on the map, alarms: a csv and a picture.
    With - a csv line is written for each row, or window, as soon as it is read.
    """
    from ssavae import figures
    from ssavae.app.runs import diagnose
    from ssavae.app.runs.folder import RunFolder

    folder = RunFolder(run)
    if data == "-":
        for line in diagnose.monitor_stream(folder, sys.stdin, normal, run_length, reading):
            typer.echo(line)
            if getattr(sys.stdout, "is_closed", False):  # nobody reads them any more
                return
        return
    path = output_path(out, run / "monitor.csv", (".csv",))
    suffix = picture_suffix(picture_format)
    summary, figure = diagnose.monitor_run(folder, data, where, normal, run_length, path, reading)
    print_values(f"{run} on {data}", summary)
    print_written(path, figures.save(figure, path.with_suffix(suffix)))


N_PRINTED = 12  # lines of an explanation


@app.command(epilog=examples("why runs/plant plant.csv --row 120", "why runs/mnist mnist --row 0 --to 3"))
@takes_reading(*TEXT_OPTIONS)
def why(
    run: RunArgument,
    data: DataArgument,
    reading: Reading,
    row: Annotated[int, typer.Option(help="Row, as `ssavae evaluate` counts them from 0.")],
    to: Annotated[
        str | None, typer.Option(help="Class to compare with [default: normal, else the next].")
    ] = None,
    out: OutOption = None,
    picture_format: FormatOption = "png",
) -> None:
    """Explain the class of a row.

    By the columns (of signals stretches, of images patches) that distinguish it from its counterpart in
    another class, and how they change on the way there: a csv, and a picture of every value.
    """
    path = output_path(out, run / "why.csv", (".csv",))
    suffix = picture_suffix(picture_format)
    from ssavae import figures
    from ssavae.app.runs import diagnose
    from ssavae.app.runs.folder import RunFolder

    summary, columns, figure = diagnose.explain_row(RunFolder(run), data, row, to, path, reading)
    print_values(f"{run} on {data}", summary)
    rows = zip(*(values[:N_PRINTED].tolist() for values in columns.values()), strict=True)
    print_table(list(columns), [[format_value(value) for value in row] for row in rows])
    print_written(path, figures.save(figure, path.with_suffix(suffix)))


@app.command(epilog=examples("suggest runs/few mnist -n 20"))
@takes_reading(*APPLIED)
def suggest(
    run: RunArgument,
    data: DataArgument,
    reading: Reading,
    n: Annotated[int, typer.Option("-n", min=1, help="Rows.")] = 20,
    out: OutOption = None,
) -> None:
    """Suggest rows of DATA to label next.

    Best first, with an empty column for the label: rows of which the classifier is uncertain and that differ
    from one another.
    """
    from ssavae.app.runs import diagnose, output
    from ssavae.app.runs.folder import RunFolder

    path = output_path(out, run / "suggestions.csv", TABLE_SUFFIXES)
    folder = RunFolder(run)
    model, loaded = folder.load_model_and_data(data, reading)
    print_written(output.write_rows(model, path, diagnose.suggestions(model, folder, loaded, n)))
