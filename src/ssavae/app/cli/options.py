"""Arguments and options that several commands take, and what is checked about them alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer


def examples(*lines: str) -> str:
    """Return the end of a command's help; the mark keeps typer from joining its lines."""
    return "\n".join(["\b", "Example:", *[f"  ssavae {line}" for line in lines]])


DataArgument = Annotated[
    str, typer.Argument(help="A named set (see `ssavae data`), or .csv, .parquet, .npz, .npy, a folder.")
]
RunArgument = Annotated[Path, typer.Argument(help="The folder that `ssavae train` wrote.")]
LabelOption = Annotated[
    str | None, typer.Option(help="Column with the classes, where DATA has columns.", show_default=False)
]
GroupOption = Annotated[
    str | None,
    typer.Option(help="Column (or array of .npz) of rows that no split may part.", show_default=False),
]
KindOption = Annotated[str | None, typer.Option(help="table, image or signal, where the data does not say.")]
DropOption = Annotated[
    list[str] | None, typer.Option(help="Column of a table that is no input; may be repeated.")
]
WindowOption = Annotated[
    int | None,
    typer.Option(min=16, help="Cut records into windows: rows of a table in time, or long signals."),
]
HopOption = Annotated[int | None, typer.Option(min=1, help="Samples between windows [default: a quarter].")]
SpectrumOption = Annotated[
    bool, typer.Option("--spectrum", help="Take the logarithm of each signal's spectrum in its place.")
]
SummaryOption = Annotated[
    bool, typer.Option("--summary", help="Take mean, deviation, roughness of each window's channels.")
]
TestFractionOption = Annotated[
    float | None,
    typer.Option(min=0.0, max=0.9, help="Rows held out where DATA has no test part [default: 0.2]."),
]
DRAWINGS = (".png", ".svg", ".pdf")
FormatOption = Annotated[str, typer.Option("--format", help="png, svg or pdf.")]
OutOption = Annotated[Path | None, typer.Option(help="File to write; by default into RUN.")]


def target(out: Path | None, default: Path, suffixes: Iterable[str], option: str = "--out") -> Path:
    """Return the file to write, in a folder that exists."""
    path = default if out is None else out
    choice(f"{option} must end in one of these: it", path.suffix.lower(), suffixes)
    if out is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def picture_suffix(picture_format: str) -> str:
    """Return the end of a picture's file name."""
    choice("--format", picture_format, [suffix[1:] for suffix in DRAWINGS])
    return f".{picture_format}"


def fraction(chosen: float | None) -> float:
    """Return the share of rows held out where DATA has no test part."""
    return 0.2 if chosen is None else chosen


def choice(name: str, value: str, allowed: Iterable[str]) -> None:
    """Refuse a word that is none of the allowed ones."""
    from ssavae._checks import UsageError

    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}, found {value!r}")
