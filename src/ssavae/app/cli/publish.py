"""Commands that publish a model: as ONNX, with a model card, on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssavae.app.cli.console import print_written
from ssavae.app.cli.main import app
from ssavae.app.cli.options import RunArgument, examples, folder_option


@app.command(epilog=examples("export runs/parts --onnx exported/parts"))
def export(
    run: RunArgument,
    onnx: Annotated[Path, folder_option("Folder to write.", "--onnx")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Write a model as ONNX, to be run without torch.

    Encoder, classifier and decoder, each compared with torch first, and a description of inputs and outputs.
    `ssavae predict --onnx` and `ssavae.Exported` run them.
    """
    from ssavae.app.runs import publish
    from ssavae.app.runs.folder import RunFolder

    print_written(*publish.export_run(RunFolder(run), onnx, overwrite=overwrite))


@app.command(epilog=examples("card runs/parts --license mit"))
def card(
    run: RunArgument,
    license_id: Annotated[
        str | None, typer.Option("--license", help="The hub's name of the model's licence.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a README.md that this command did not write.")
    ] = False,
) -> None:
    """Write a model card.

    README.md in RUN, as the Hugging Face hub reads it: data, results, pictures, limits, how to use it.
    """
    from ssavae.app.runs import publish
    from ssavae.app.runs.folder import RunFolder

    print_written(publish.write_card(RunFolder(run), license_id=license_id, overwrite=overwrite))


@app.command(epilog=examples("push runs/parts user/parts --revision v1"))
def push(
    run: RunArgument,
    repo: Annotated[str, typer.Argument(help="user/name on the Hugging Face hub; created if missing.")],
    revision: Annotated[str | None, typer.Option(help="Branch to push to [default: main].")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Push a model to the Hugging Face hub.

    Model, card, pictures, run.json and metrics.json (with command and paths); your token is that of
    `hf auth login`. `ssavae.load("hf://user/name")` loads it.
    """
    from ssavae.app.runs import publish
    from ssavae.app.runs.folder import RunFolder

    print(f"pushed {publish.push_run(RunFolder(run), repo, revision=revision, private=private)}")
