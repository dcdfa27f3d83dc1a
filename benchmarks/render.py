"""Numbers in README and docs, rendered from the files under benchmarks/results.

    python benchmarks/render.py            write the pages
    python benchmarks/render.py --check    write nothing; exit with 1 where a page is not what its files say

A page holds a template in a comment, and below it the text that is rendered from it:

    <!-- numbers
    Test accuracy is {mnist2/metrics.json/evaluate/accuracy:.3f}.
    -->
    Test accuracy is 0.987.

    *Measured: [mnist2/metrics.json](...) (2026-11-22, 5c282ec). The code has changed since.*
    <!-- /numbers -->

A placeholder is a file, the keys to a value, and a format of Python's:
`{plant.json/summary/all, boosting, raw}`, `{speed.json/quality/agreement/0/agreement:.2f}`,
`{few.json/results/[seed=0, method=plain]/accuracy:.3f}`. `±` behind the format writes mean and standard
deviation; `A over B` divides. `{ages}` is the table of all results. The last line of a block says when, on
which commit, and whether the measured code has changed since: see ages.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"<!-- numbers\n(?P<template>.*?)\n-->\n(?P<text>.*?)<!-- /numbers -->", re.DOTALL)
PLACEHOLDER = re.compile(r"\{(?P<value>[^{}]*\.json/[^{}]*?|ages)(?::(?P<format>[^:{}]*))?\}")


def pages(root: Path = ROOT) -> list[Path]:
    """Return README, and the pages of the site that are written by hand."""
    found = (root / "docs").rglob("*.md")
    return [
        root / "README.md",
        *sorted(page for page in found if "_" not in page.relative_to(root).parts[1][0]),
    ]


class Results:
    """Result files, and what is known of their age."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.folder = root / "benchmarks" / "results"
        self.read = cache(self._read)
        self.ages: dict[str, dict[str, Any]] = self._read(root / "benchmarks" / "ages.json")

    def _read(self, path: Path) -> Any:
        return json.loads(path.read_text("utf-8"))

    def value(self, reference: str) -> Any:
        """Look up the value of a placeholder, or the quotient of two."""
        parts = [self._operand(part.strip()) for part in reference.split(" over ")]
        return parts[0] if len(parts) == 1 else parts[0] / parts[1]

    def _operand(self, reference: str) -> Any:
        file, separator, keys = reference.partition(".json/")
        if not separator:
            return float(reference)
        value = self.read(self.folder / f"{file}.json")
        for key in re.findall(r"\[[^]]*\]|[^/]+", keys):
            value = step(value, key)
        return value

    def rendered(self, template: str, page: Path) -> str:
        """Return a template with its numbers, and the line that says of which age they are."""

        def number(match: re.Match[str]) -> str:
            if match["value"] == "ages":
                return self.table_of_ages(page)
            return formatted(self.value(match["value"]), match["format"] or "")

        text = PLACEHOLDER.sub(number, template)
        files = re.findall(r"([\w./-]+\.json)/", " ".join(m["value"] for m in PLACEHOLDER.finditer(template)))
        return "\n\n".join([text, *self.notes(list(dict.fromkeys(files)), page)])

    def notes(self, files: list[str], page: Path) -> list[str]:
        """Say when files were measured, on which commits, and of which the code has changed since."""
        if not files:
            return []
        ages = {file: self.ages[file] for file in files}
        sources = [
            f"{self.link(f, page)} ({age['dates'][-1]}, {age['commits'][-1]})" for f, age in ages.items()
        ]
        old = [f"`{file}`" for file, age in ages.items() if age["changed"]]
        of_which = f" of {', '.join(old)}" if len(old) < len(files) else ""
        since = f" The code{of_which} has changed since." if old else ""
        return [f"*Measured: {', '.join(sources)}.{since}*"]

    def link(self, file: str, page: Path) -> str:
        """Link a result file, as seen from a page."""
        return f"[{file}]({Path(os.path.relpath(self.folder / file, page.parent)).as_posix()})"

    def table_of_ages(self, page: Path) -> str:
        """Return the table of all results: age, seeds, machine and command."""
        head = [
            "| result | dates | commits | code since | seeds | machine | command |",
            "|---|---|---|---|---|---|---|",
        ]
        return "\n".join(head + [self._row(file, age, page) for file, age in self.ages.items()])

    def _row(self, file: str, age: dict[str, Any], page: Path) -> str:
        since = f"{age['changed']} of {age['modules']} modules changed" if age["changed"] else "the same"
        cells = [
            self.link(file, page),
            " to ".join(dict.fromkeys([age["dates"][0], age["dates"][-1]])),
            ", ".join(age["commits"]),
            since,
            ", ".join(map(str, age["seeds"])) or "not recorded",
            age["machine"],
            f"`{age['command']}`",
        ]
        return f"| {' | '.join(cells)} |"


def step(value: Any, key: str) -> Any:
    """Return the value of a key, of an index, or the one entry of a list with these fields."""
    if key.startswith("["):
        wanted = dict(field.strip().split("=") for field in key[1:-1].split(","))
        (entry,) = (e for e in value if all(str(e.get(name)) == text for name, text in wanted.items()))
        return entry
    return value[int(key)] if isinstance(value, list) else value[key]


def formatted(value: Any, spec: str) -> str:
    """Format a value; a mean with its standard deviation where the format ends in ±."""
    if spec.endswith("±"):
        return f"{value['mean']:{spec[:-1]}} ± {value['std']:{spec[:-1]}}"
    return f"{value:{spec}}"


def render(page: Path, results: Results) -> str:
    """Return a page with all its numbers rendered."""

    def block(match: re.Match[str]) -> str:
        try:
            text = results.rendered(match["template"], page)
        except (KeyError, ValueError, OSError, IndexError, TypeError) as error:
            line = page.read_text("utf-8")[: match.start()].count("\n") + 1
            raise SystemExit(f"{page}:{line}: {type(error).__name__}: {error}") from error
        return f"<!-- numbers\n{match['template']}\n-->\n{text}\n<!-- /numbers -->"

    return BLOCK.sub(block, page.read_text("utf-8"))


def differing(root: Path = ROOT) -> dict[Path, str]:
    """Return the pages whose text is not what the result files say, with the text that they should have."""
    results = Results(root)
    texts = {page: render(page, results) for page in pages(root)}
    return {page: text for page, text in texts.items() if text != page.read_text("utf-8")}


def main() -> None:
    """Write the pages, or name those that differ."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--check", action="store_true")
    check = options.parse_args().check
    found = differing()
    for page, text in found.items():
        print(page.relative_to(ROOT), "differs: run make numbers" if check else "written")
        if not check:
            page.write_text(text, "utf-8")
    sys.exit(1 if check and found else 0)


if __name__ == "__main__":
    main()
