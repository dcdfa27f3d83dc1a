"""Code of README and docs: Python is executed, examples are compared, command lines are parsed."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import ssavae
from ssavae.app.cli import main
from ssavae.app.cli.main import Call, app
from ssavae.training import plan

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {"changelog.md", "command-line.md"}  # by the build, from elsewhere
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if "_build" not in page.parts and page.name not in WRITTEN
    ),
]
EXAMPLES = [page for page in PAGES if ">>>" in page.read_text("utf-8")]


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder, and its export, which docs/onnx.md runs."""
    folder = tmp_path_factory.mktemp("world")
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = ssavae.SSAVAE(n_epochs=1, n_epochs_decoder=1, validation_fraction=0.2, random_state=0)
    model.fit(X, np.arange(60) % 3).save(folder / "parts")
    with pytest.raises(SystemExit, match="0"):
        main(["export", str(folder / "parts"), "--onnx", str(folder / "exported" / "parts")])
    return folder


@pytest.fixture
def world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names that blocks take as given, and few epochs for those who train."""
    monkeypatch.chdir(folder)
    X = np.random.default_rng(0).normal(size=(60, 3))
    given = {"X": X, "y": np.arange(60) % 3, "groups": np.arange(60) // 6, "Z": np.zeros((1, 2))}
    given["model"] = ssavae.load(folder / "parts")
    monkeypatch.setattr(plan, "min_updates", lambda kind, n_rows, most: 1)  # ten epochs, not hundreds
    return given


@pytest.mark.filterwarnings("ignore:constant columns")  # corners of the digits
@pytest.mark.parametrize(("where", "code"), PYTHON, ids=[where for where, _ in PYTHON])
def test_python_blocks_run(where: str, code: str, world: dict[str, Any]) -> None:
    exec(compile(code, where, "exec"), world)


def readme_example() -> tuple[str, str]:
    """The Python of the README, and what it says that is printed."""
    found = re.search(
        r"```python\n(.*?)```\s*```text\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    return found[1], found[2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:constant columns")
def test_the_readme_s_example_prints_what_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, expected = readme_example()
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    number = re.compile(r"\b0\.\d+$", re.MULTILINE)
    assert number.sub("", printed.getvalue()) == number.sub("", expected)
    (accuracy,), (said,) = number.findall(printed.getvalue()), number.findall(expected)
    assert abs(float(accuracy) - float(said)) < 0.03  # another processor rounds otherwise


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_examples_print_what_the_page_says(page: Path) -> None:
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, attempted = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert attempted > 0 and failed == 0


def parse(words: list[str]) -> None:
    """Parse a command line as the program does, without running it."""
    command: Any = typer.main.get_command(app)
    name = "ssavae"
    while words and words[0] in getattr(command, "commands", {}):
        command, name, words = command.commands[words[0]], words[0], words[1:]
    command.make_context(name, list(words), obj=Call(words))


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=[where for where, _ in COMMANDS])
def test_command_lines_are_commands(
    where: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in words:  # runs that a command line names have to be there
        if re.fullmatch(r"(runs|exported)/\w+|[a-z]+", folder):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    parse(words)


def test_blocks_are_found_and_a_wrong_option_is_noticed() -> None:
    assert {where.partition(":")[0] for where, _ in PYTHON} >= {"README.md", "docs/onnx.md"}
    assert len(COMMANDS) > 40
    with pytest.raises(Exception, match="--no-such-option"):
        parse(["train", "digits", "--no-such-option"])


def test_a_path_of_the_building_machine_is_noticed() -> None:
    pytest.importorskip("sphinx", reason="the site is built with the extra docs")
    sys.path.append(str(ROOT / "docs" / "_ext"))
    from no_paths import local_paths

    shown = f"wrote wines/map.png\n{ROOT}/src/ssavae/estimator.py:3: UserWarning\n/usr/lib/site-packages/x.py"
    assert len(local_paths(shown)) == 2
