"""Commands for data: the named data sets, and the audit of a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssavae.app.cli.console import print_table
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    DataArgument,
    KindOption,
    TestFractionOption,
    examples,
    fraction_or_default,
)
from ssavae.app.cli.reading import TRAINED, takes_reading

if TYPE_CHECKING:
    from ssavae.data.labelled import Reading

data_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(data_app, name="data", epilog=examples("data", "data get mnist"))


@data_app.callback(epilog=examples("data", "data get mnist"))
def data(context: typer.Context) -> None:
    """List, download or build the named data sets.

    With their sources, and whether they are on this machine.
    """
    if context.invoked_subcommand is not None:
        return
    from ssavae.data.catalog import EMBEDDED, available

    rows = []
    for each in available():
        how = (
            f"ssavae data get {each.name}"
            if each.downloads
            else f"ssavae data build {each.name} --from FOLDER"
        )
        here = "embedded" if each.source == EMBEDDED else str(each.path or f"no: {how}")
        rows.append([each.name, f"{each.rows:,} {each.kind} rows", each.description, each.source, here])
    print_table(["name", "size", "content", "comes from", "is here"], rows)


@data_app.command("get", epilog=examples("data get mnist"))
def get(name: Annotated[str, typer.Argument(help="A name that `ssavae data` lists.")]) -> None:
    """Download a named set into the user cache and check it."""
    from ssavae._checks import UsageError
    from ssavae.data.catalog import SETS, fetch, unknown_name

    if name not in SETS:
        raise UsageError(unknown_name(name))
    typer.echo(f"{name} is at {fetch(name)}")


@data_app.command("build", epilog=examples("data build omniglot --from downloads"))
def build(
    name: Annotated[str, typer.Argument(help="A name that `ssavae data` lists with this command.")],
    folder: Annotated[Path, typer.Option("--from", help="Folder with the files as they were published.")],
) -> None:
    """Build a named set from its public originals, into the user cache.

    docs/data-sets.md names the originals of each.
    """
    from ssavae.data import originals

    typer.echo(f"{name} is at {originals.build(name, folder)}")


@data_app.command("audit", epilog=examples("data audit bearings.csv --label fault --group machine"))
@takes_reading(*TRAINED)
def audit(
    data: DataArgument,
    reading: Reading,
    kind: KindOption = None,
    test_fraction: TestFractionOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the split, where DATA has no test part.")] = 0,
) -> None:
    """Check a split for leaks.

    Exact copies, windows that share samples and groups on both sides; of DATA's own test part, else of the
    split that `ssavae train` would draw. Exits with 1 where there are any.
    """
    from ssavae.app.runs.evaluate import audit_data

    findings, caution = audit_data(data, reading, kind, fraction_or_default(test_fraction), seed)
    rows = [[each.what, str(each.n_test), each.example] for each in findings]
    print_table(["on both sides", "test rows", "for example"], rows)
    if caution:
        typer.echo(caution)
    leaks = [f"{f.n_test} {f.what}" for f in findings if f.n_test]
    if leaks:
        raise ValueError(f"the test part of {data} holds {' and '.join(leaks)}: scores on it flatter")
