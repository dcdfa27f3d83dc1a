"""The application that commands are registered with, its exit status and its error messages."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.core import TyperGroup

from ssavae.app.cli.console import closable_output, plain_warnings
from ssavae.training.distributed.launcher import exit_process, report


class StoppableGroup(TyperGroup):
    """Commands that print the message of training when Ctrl-C or SIGTERM stops it, and exit with 130."""

    def invoke(self, ctx: typer.Context) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run the command; typer itself would swallow the message."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            if not report(stop):
                typer.echo(str(stop) or "stopped", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=StoppableGroup,
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@dataclass
class Call:
    """The words of a command line, and whether errors come with their traceback."""

    words: Sequence[str]
    debug: bool = False


@app.callback()
def start(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Turn partly labelled data into a latent map to look at, classify with, decode and generate from."""
    from ssavae._version import __version__

    context.obj.debug = debug
    if version:
        typer.echo(f"ssavae {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 failure, 2 wrong usage, 130 stopped.

    Parameters
    ----------
    argv : sequence of str or None
        The words after ``ssavae``; None takes those of the process.
    """
    call = Call(sys.argv[1:] if argv is None else list(argv))
    with closable_output(), plain_warnings():
        status = _status(call)
        exit_process(status)
    raise SystemExit(status)


def _status(call: Call) -> int:
    command = typer.main.get_command(app)
    try:
        status = command.main(list(call.words), prog_name="ssavae", standalone_mode=False, obj=call)
        return status if isinstance(status, int) else 0
    except Exception as error:
        if call.debug:
            traceback.print_exc()
        if not report(error):
            typer.echo(f"error: {_one_line(error)}", err=True)
        return int(getattr(error, "exit_code", 1))


def _one_line(error: Exception) -> str:
    """Return an error's message without line breaks; typer's own errors have it in format_message."""
    format_message = getattr(error, "format_message", None)
    text = str(error) if format_message is None else format_message()
    return " ".join(text.split()) + _parameter_hint(error) or type(error).__name__


def _parameter_hint(error: Exception) -> str:
    """Return how to set the parameter that an unknown option means, of a command that sets parameters."""
    option = getattr(error, "option_name", None)
    context = getattr(error, "ctx", None)
    known = [] if context is None else [name for each in context.command.params for name in each.opts]
    if context is None or option is None or "--set" not in known:
        return ""
    from ssavae._checks import closest
    from ssavae.app.runs.settings import parameter_names

    word = option.lstrip("-").replace("-", "_")
    name = {"lr": "learning_rate"}.get(word) or closest(word, parameter_names())
    words = [*context.obj.words, "VALUE"]
    value = words[words.index(option) + 1] if option in words else "VALUE"
    return f" A parameter of the model is set by --set {name}={value}" if name else ""
