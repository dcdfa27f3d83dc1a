"""Arguments and options that several commands share, and their checks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer


def examples(*lines: str) -> str:
    r"""Return the end of a command's help; ``\b`` keeps typer from joining its lines."""
    return "\n".join(["\b", "Example:", *[f"  ssavae {line}" for line in lines]])


def check_run(path: Path) -> None:
    """Raise UsageError where there is no such folder, before torch is imported to read it."""
    from ssavae._checks import UsageError

    if not path.is_dir():
        raise UsageError(f"no model folder at {path}")


DataArgument = Annotated[
    str, typer.Argument(help="A named set (see `ssavae data`), or a file or folder: see docs/data.md.")
]
RunArgument = Annotated[Path, typer.Argument(help="The folder that `ssavae train` wrote.")]
KindOption = Annotated[str | None, typer.Option(help="table, image or signal, where DATA does not say.")]
TestFractionOption = Annotated[
    float | None,
    typer.Option(min=0.0, max=0.9, help="Fraction to test on, if DATA has no test part [default: 0.2]."),
]
LabelsPerClassOption = Annotated[
    int | None, typer.Option(min=1, help="Learn from this many labels of each class, drawn by --seed.")
]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
PresetOption = Annotated[str | None, typer.Option(help="Name of a preset, or a .toml file.")]
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
TABLE_SUFFIXES = (".csv", ".npz")
ROW_SUFFIXES = (*PICTURE_SUFFIXES, ".npz", ".csv")
FormatOption = Annotated[str, typer.Option("--format", help="png, svg or pdf.")]
OutOption = Annotated[Path | None, typer.Option(help="File to write [default: a file in RUN].")]


def parse_folder(text: str | Path) -> Path:
    """Return the path of a folder that need not exist; refuse an empty one and a file."""
    if not str(text).strip() or Path(text).is_file():
        problem = f"{text} is a file" if str(text).strip() else "the name is empty"
        raise typer.BadParameter(f"{problem}: name a folder")
    return Path(text)


def folder_option(text: str, *names: str) -> Any:
    """Return an option that takes the path of a folder, with this help."""
    return typer.Option(*names, help=text, parser=parse_folder, metavar="FOLDER")


def output_path(out: Path | None, default: Path, suffixes: Iterable[str], option: str = "--out") -> Path:
    """Return the file to write; create its folder."""
    path = default if out is None else out
    check_choice(f"the suffix of {option}", path.suffix.lower(), suffixes)
    if out is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def picture_suffix(picture_format: str) -> str:
    """Return the suffix of a picture's file name."""
    check_choice("--format", picture_format, [suffix[1:] for suffix in PICTURE_SUFFIXES])
    return f".{picture_format}"


def fraction_or_default(fraction: float | None) -> float:
    """Return the fraction of rows to test on where DATA has no test part."""
    return 0.2 if fraction is None else fraction


def check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise UsageError for a value that is not allowed."""
    from ssavae._checks import UsageError

    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}, found {value!r}")
