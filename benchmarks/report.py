"""Command lines and result files, in the form that all benchmarks share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from ssavae._serialize import JSONObject, write_atomically
from ssavae.app.runs.environment import machine

PROGRAM = "from ssavae.app.cli import main; main()"  # the command line, for `python -c`

# What identifies a result in its file, and the function that measures it.
Task = tuple[JSONObject, Callable[[], JSONObject]]


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help shows a module's docstring line by line."""
    raw = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=raw)


def command() -> str:
    """Return the command that runs this script."""
    return " ".join(["python", *sys.argv])


def plain_options(options: argparse.Namespace) -> JSONObject:
    """Return the options of a command line as values for JSON."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}


def read_json(path: Path) -> JSONObject:
    """Read a result file; an empty object where there is none."""
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def write_json(path: Path, document: JSONObject) -> None:
    """Write a result file."""
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


def write_part(path: Path, name: str, part: JSONObject) -> None:
    """Print one part of a result file and write it beside the other parts."""
    part = {"command": command(), **part}
    print(json.dumps({name: part}, indent=1), flush=True)
    write_json(path, {**read_json(path), name: part})


def run_missing(
    path: Path, tasks: Iterable[Task], summarize: Callable[[list[JSONObject]], JSONObject]
) -> None:
    """Run the tasks whose results a file lacks, and write the file after each.

    ``summarize`` returns what the file says of all results together.
    """
    results = read_json(path).get("results", [])
    for identity, measure in tasks:
        if any(identity.items() <= result.items() for result in results):
            continue
        measures = measure()
        results.append({**identity, **measures, **machine()})
        write_json(path, {"command": command(), **summarize(results), "results": results})
        numbers = {name: value for name, value in measures.items() if isinstance(value, float)}
        print({**identity, **numbers}, flush=True)
