"""Reference of the command line, written from the program itself when a build begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx

import ssavae.app.cli  # noqa: F401  # registers the commands
from ssavae.app.cli.main import app

HEAD = """\
# Command line

Written from the program; `ssavae COMMAND --help` prints the same. Wrong use exits with 2, failure with 1,
Ctrl-C with 130, each with one line that says what to do.

"""


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the full name of every command, and the command."""
    yield name, command
    for child, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{name} {child}")


def row(parameter: Any) -> str:
    """Return the line of the table for an argument or option."""
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    text = " ".join((getattr(parameter, "help", None) or "").split()).replace("|", "\\|").replace("<", "&lt;")
    default = parameter.default
    shown = (
        "" if default is None or default is False or callable(default) or default == () else f"`{default}`"
    )
    return f"| {names} | {text} | {shown} |"


def section(name: str, command: Any) -> str:
    """Return the section of a command."""
    text = "\n".join(line.strip() for line in (command.help or "").replace("\b", "").strip().splitlines())
    lines = [f"## {name}", "", *prose(text), "", *example(command), ""]
    rows = [row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        lines += ["| argument or option | what it does | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def example(command: Any) -> list[str]:
    """Return the examples below a command's help, as a block."""
    epilog = (command.epilog or "").replace("\b", "").strip()
    return [f"```text\n{epilog}\n```"] if epilog else []


def prose(help_text: str) -> Iterator[str]:
    """Yield a help text as Markdown: what is typed stands in a block of its own."""
    for paragraph in help_text.split("\n\n"):
        if paragraph.lstrip().startswith("ssavae"):
            yield f"```text\n{paragraph.strip()}\n```\n"
        else:
            yield paragraph.replace("<", "&lt;").replace("*", "\\*").replace("$", "\\$") + "\n"


def page() -> str:
    """Return the whole page."""
    found = commands(typer.main.get_command(app), "ssavae")
    return HEAD + "\n".join(section(name, command) for name, command in found)


def write(sphinx: Sphinx) -> None:
    """Write the page where it differs, so that an unchanged one is not built again."""
    path = Path(sphinx.srcdir) / "reference" / "command-line.md"
    text = page()
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the page before the sources are listed."""
    app.connect("builder-inited", write)
    write(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
