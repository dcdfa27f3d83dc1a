"""The command that serves a map and an HTTP API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssavae.app.cli.console import print_values, print_written, progress_printer
from ssavae.app.cli.main import app
from ssavae.app.cli.options import DataArgument, RunArgument, check_choice, examples, output_path
from ssavae.app.cli.reading import APPLIED, takes_reading

if TYPE_CHECKING:
    from ssavae.data.labelled import Reading


@app.command(
    epilog=examples(
        "explore runs/mnist mnist",
        "explore runs/parts parts.csv --part train --port 9000 --no-browser",
        "explore runs/plant plant.csv --host 0.0.0.0 --token $(openssl rand -hex 16)",
        "explore runs/mnist mnist --part test --export mnist.html",
        "explore runs/mnist100 mnist --part test --umap",
    )
)
@takes_reading(*APPLIED)
def explore(
    run: RunArgument,
    data: DataArgument,
    reading: Reading,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="[default: 8765, or the next free one]")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address for other machines too; needs --token.")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SSAVAE_TOKEN", help="Bearer token that requests have to carry.")
    ] = None,
    part: Annotated[str, typer.Option(help="Rows to show: train, test or all.")] = "all",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
    umap: Annotated[
        bool, typer.Option("--umap", help="Add a map by UMAP of the codes; needs the extra umap.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the page as one .html that needs no server, and exit.")
    ] = None,
) -> None:
    """Show the map in the browser.

    One page and an HTTP API (/api/openapi.json), served to this machine alone until Ctrl-C.
    """
    check_choice("--part", part, ("all", "train", "test"))
    path = output_path(export, Path("map.html"), (".html",), "--export")
    from ssavae.app.explorer import serve
    from ssavae.app.explorer.app import Api, create_app
    from ssavae.app.explorer.points import Points, rows_to_show, with_learned_labels
    from ssavae.app.explorer.security import LOOPBACK
    from ssavae.app.explorer.service import Service
    from ssavae.app.explorer.static_export import export_page
    from ssavae.app.runs.folder import RunFolder

    serve.check_token(host, token)
    listening = serve.open_port(host or serve.HOST, port) if export is None else None
    folder = RunFolder(run)
    model, loaded = folder.load_model_and_data(data, reading)
    rows = rows_to_show(loaded, folder.read_split(loaded), part)
    rows = with_learned_labels(rows, folder.read_learned(loaded))
    points = Points.of(model, rows, progress_printer("reading rows"), run)
    if umap:
        from ssavae.app.explorer.latent.umap_map import umap_of

        points = replace(points, umap=umap_of(points.z))
    if listening is None:
        print_values(f"{run} on {data}", export_page(Api(Service(model, points), folder.name), path))
        print_written(path)
        return
    application = create_app(model, points, folder.name, token=token, hosts=() if host else LOOPBACK)
    address = serve.address_of(listening, token)
    typer.echo(f"the map of {len(points):,} rows is at {address}\nCtrl-C ends it")
    serve.serve(application, listening, lambda: serve.open_browser(address) if browser else None)
    typer.echo("ended")
