"""Code blocks of README and docs: Python is executed, command lines are parsed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import ssavae
from ssavae.app.cli import main
from ssavae.app.cli.main import Call, app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Yield page:line and text of every fenced block of a language."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.finditer(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            yield f"{page.relative_to(ROOT)}:{text[: block.start(1)].count(chr(10)) + 1}", block[1]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield page:line and the words after ``ssavae`` of every command line."""
    for where, text in blocks("console"):
        for line in re.findall(r"^ *\$ (.*)$", text.replace("\\\n", ""), re.MULTILINE):
            typed = re.sub(r"\$\([^)]*\)", "0" * 32, line)  # what a shell would put there
            for part in re.split(r"&&|\|", typed.partition(" #")[0]):
                words = shlex.split(part)
                if "ssavae" in words:
                    yield f"{where}: {part.strip()}", words[words.index("ssavae") + 1 :]


PYTHON = list(blocks("python"))
COMMANDS = list(commands())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The exported model that docs/onnx.md runs, few epochs, and names that blocks take as given."""
    quick = partial(ssavae.SSAVAE, n_epochs=1, n_epochs_decoder=1)
    X = np.random.default_rng(0).normal(size=(60, 3))
    monkeypatch.chdir(tmp_path)
    quick(random_state=0).fit(X, np.arange(60) % 3).save("parts")
    with pytest.raises(SystemExit, match="0"):
        main(["export", "parts", "--onnx", "exported/parts"])
    monkeypatch.setattr(ssavae, "SSAVAE", quick)
    return {"X": X, "Z": np.zeros((1, 2))}


@pytest.mark.filterwarnings("ignore:constant columns")  # corners of the digits
@pytest.mark.parametrize(("where", "code"), PYTHON, ids=[where for where, _ in PYTHON])
def test_python_blocks_run(where: str, code: str, world: dict[str, Any]) -> None:
    exec(compile(code, where, "exec"), world)


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=[where for where, _ in COMMANDS])
def test_command_lines_are_commands(where: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    name = "ssavae"
    while words and words[0] in getattr(command, "commands", {}):
        command, name, words = command.commands[words[0]], words[0], words[1:]
    command.make_context(name, list(words), obj=Call(words))


def test_blocks_are_found_and_a_wrong_option_is_noticed() -> None:
    assert {where.partition(":")[0] for where, _ in PYTHON} >= {"README.md", "docs/onnx.md"}
    assert len(COMMANDS) > 40
    with pytest.raises(Exception, match="--no-such-option"):
        test_command_lines_are_commands("", ["train", "digits", "--no-such-option"])
