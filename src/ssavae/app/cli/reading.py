"""Options of reading DATA, defined once: a command lists those that it takes, and gets them as a Reading."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ssavae.app.cli.options import check_run

if TYPE_CHECKING:
    from ssavae.data.labelled import Reading

OPTIONS: dict[str, Any] = {  # by the fields of Reading
    "label": Annotated[
        str | None, typer.Option(help="Column with the classes, where DATA has columns.", show_default=False)
    ],
    "group": Annotated[
        str | None,
        typer.Option(help="Column (or array of .npz) whose equal rows stay on one side of the split."),
    ],
    "drop": Annotated[
        list[str] | None,
        typer.Option(help="Column of a table, or channel of records, that is no input; may be repeated."),
    ],
    "window": Annotated[
        int | None,
        typer.Option(min=16, help="Cut records into windows: rows of a table in time, or long signals."),
    ],
    "hop": Annotated[int | None, typer.Option(min=1, help="Samples between windows [default: a quarter].")],
    "spectrum": Annotated[
        bool, typer.Option("--spectrum", help="Replace each signal by its log power spectrum.")
    ],
    "summary": Annotated[
        bool,
        typer.Option("--summary", help="Replace each window by mean, deviation, roughness of its channels."),
    ],
    "resize": Annotated[
        str | None, typer.Option(metavar="HxW", help="Resize the images of a folder to one size.")
    ],
    "sep": Annotated[
        str | None, typer.Option(help="Separator of a .csv, or tab [default: as its first lines say].")
    ],
    "decimal": Annotated[
        str | None, typer.Option(help="Decimal sign of a .csv, . or , [default: as its first lines say].")
    ],
    "encoding": Annotated[
        str | None, typer.Option(help="Encoding of a .csv, for example cp1252 [default: utf-8].")
    ],
    "no_header": Annotated[
        bool, typer.Option("--no-header", help="A .csv has no header: columns are called 0, 1, ...")
    ],
}
TEXT_OPTIONS = ("sep", "decimal", "encoding", "no_header")
APPLIED = ("label", "resize", *TEXT_OPTIONS)  # of a command that reads DATA for a trained model
TRAINED = tuple(OPTIONS)


def takes_reading(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options in place of its parameter ``reading``."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**values: object) -> None:
            from ssavae.data.partition import check_names

            given = {name: values.pop(name) for name in names}
            reading = _reading(given)
            folder = values.get("run")
            if isinstance(folder, Path) and not values.get("onnx"):
                check_run(folder)
            if values["data"] != "-":
                check_names(str(values["data"]), reading)
            command(**values, reading=reading)

        hints = get_type_hints(command, localns={"Reading": object}, include_extras=True)
        parameters = list(_with_options(inspect.signature(command).parameters.values(), names, hints))
        run.__dict__["__signature__"] = inspect.Signature(parameters)
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _with_options(
    parameters: Iterable[inspect.Parameter], names: Iterable[str], hints: Mapping[str, object]
) -> Iterable[inspect.Parameter]:
    for each in parameters:
        if each.name != "reading":
            yield each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[each.name])
            continue
        for name in names:
            default = False if name in ("spectrum", "summary", "no_header") else None
            yield inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=OPTIONS[name]
            )


def _reading(given: Mapping[str, object]) -> Reading:
    from ssavae.data.labelled import Reading

    parsers = {"drop": tuple, "resize": _parse_size, "sep": _parse_separator}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            values[name] = parsers[name](value) if name in parsers else value
    return Reading(**values)


def _parse_separator(text: str) -> str:
    return "\t" if text in ("tab", "\\t") else text


def _parse_size(text: str) -> tuple[int, int]:
    """Return height and width.

    >>> _parse_size("28x32"), _parse_size("64")
    ((28, 32), (64, 64))
    """
    from ssavae._checks import UsageError

    height, _, width = text.lower().partition("x")
    sizes = [int(size) if size.isdecimal() else 0 for size in (height, width or height)]
    if min(sizes) < 1:
        raise UsageError(f"--resize {text!r}: give height and width, like 28x32")
    return sizes[0], sizes[1]
