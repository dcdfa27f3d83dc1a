"""Numbers of README and docs are those of the result files, and a changed one is noticed."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import ages  # noqa: E402
import render  # noqa: E402
from spread import mean_and_deviation  # noqa: E402

TYPED = re.compile(r"(?<![\w./=-])0\.\d{2,}|\d \u00b1 \d")  # a measured number, from its form
WHEN = r": [^*]*\d{4}-\d\d-\d\d[^*]*\([0-9a-f]{7}"
OLDER = re.compile(rf"^\*Older measurement{WHEN}", re.MULTILINE)  # at the end of a section
OLDER_PAGE = re.compile(rf"^\*Older measurements on this page{WHEN}", re.MULTILINE)


def test_every_page_says_what_its_files_say() -> None:
    assert [str(page) for page in render.differing()] == []


def test_one_value_has_no_deviation() -> None:
    assert mean_and_deviation([0.5, 0.7], 2, "seed") == "0.60 \u00b1 0.14 (2 seeds)"
    assert mean_and_deviation([0.5], 2, "seed") == "0.50 (1 seed)"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """README, its pages and the results, to be changed."""
    for name in ("docs", "benchmarks"):
        ignored = shutil.ignore_patterns("_build", "*.png", "*.py", "cache", "peers", "jupyter_execute")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "README.md", tmp_path)
    assert render.differing(tmp_path) == {}
    return tmp_path


def test_a_number_changed_on_a_page_is_noticed(copy: Path) -> None:
    readme = copy / "README.md"
    number = re.search(r"^\| test accuracy, all labels \| (0\.\d+)", readme.read_text("utf-8"), re.MULTILINE)
    assert number is not None
    readme.write_text(readme.read_text("utf-8").replace(f"| {number[1]} |", "| 0.999 |", 1), "utf-8")
    assert list(render.differing(copy)) == [readme]


def test_a_number_changed_in_a_result_is_noticed(copy: Path) -> None:
    path = copy / "benchmarks" / "results" / "mnist2" / "metrics.json"
    document = json.loads(path.read_text("utf-8"))
    document["evaluate"]["accuracy"] = 0.5
    path.write_text(json.dumps(document), "utf-8")
    found = {page.relative_to(copy).as_posix(): text for page, text in render.differing(copy).items()}
    assert {"README.md", "docs/results/images.md", "docs/how-to/latent-dim.md"} <= set(found)
    assert "| 0.500 |" in found["README.md"]


def test_a_result_that_becomes_old_is_named_beside_its_numbers(copy: Path) -> None:
    path = copy / "benchmarks" / "ages.json"
    document = json.loads(path.read_text("utf-8"))
    for age in document.values():
        age["changed"] = 0 if age["changed"] else 1
    path.write_text(json.dumps(document), "utf-8")
    assert copy / "README.md" in render.differing(copy)


def outside_blocks(text: str) -> str:
    """A page without what is rendered, code, what a command prints, and addresses."""
    return re.sub(r"```.*?```|`[^`\n]+`|\]\([^)]*\)", "", render.BLOCK.sub("", text), flags=re.DOTALL)


def typed_numbers(text: str) -> list[str]:
    """Lines with a measured number in sections that do not say of which date and commit it is."""
    if OLDER_PAGE.search(text):
        return []
    sections = re.split(r"^(?=##)", outside_blocks(text), flags=re.MULTILINE)
    unmarked = [section for section in sections if not OLDER.search(section)]
    return [line for section in unmarked for line in section.splitlines() if TYPED.search(line)]


WRITTEN = [page for page in render.pages() if page.name not in ("changelog.md", "command-line.md")]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.stem)  # the others are written by the build
def test_no_measured_number_is_typed_without_its_date_and_commit(page: Path) -> None:
    assert typed_numbers(page.read_text("utf-8")) == []


def test_a_typed_number_is_found() -> None:
    assert TYPED.search("27.7 \u00b1 2.1") and not TYPED.search("version 1.0.999")
    assert typed_numbers("# Page\naccuracy 0.987\n") == ["accuracy 0.987"]
    assert typed_numbers("with `alpha=0.05`, see [it](0.123/page.md)") == []
    marked = "## A\naccuracy 0.98\n\n*Older measurement: 2026-11-22 (3686ad1); no result file.*\n"
    assert typed_numbers(marked) == []
    assert typed_numbers(marked + "## B\naccuracy 0.97\n") == ["accuracy 0.97"]
    assert typed_numbers(marked.replace("measurement:", "measurements on this page:") + "## B\n0.97\n") == []
    assert typed_numbers(marked.replace("2026-11-22 (3686ad1)", "some time")) == ["accuracy 0.98"]


def test_formats() -> None:
    assert render.formatted({"mean": 0.5, "std": 0.25}, ".2f\u00b1") == "0.50 \u00b1 0.25"
    assert render.formatted(18478, ",") == "18,478"
    entries = [{"a": 1, "b": 0.0, "v": 3}, {"a": 1, "b": 0.1, "v": 4}]
    assert render.step(entries, "[a=1, b=0.1]")["v"] == 4
    with pytest.raises(ValueError, match="values to unpack"):
        render.step(entries, "[a=1]")


def test_code_is_compared_without_docstrings_and_layout() -> None:
    before = 'def f(x):\n    """One."""\n    return x + 1  # why\n'
    assert ages.code_digest(before) == ages.code_digest('def f(x):\n    "Two."\n    return (x +\n    1)\n')
    assert ages.code_digest(before) != ages.code_digest(before.replace("+ 1", "+ 2"))


def test_a_script_s_code_is_all_that_it_imports() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in ages.closure([ROOT / "benchmarks" / "tables.py"])}
    assert {
        "benchmarks/tables.py",
        "benchmarks/report.py",
        "src/ssavae/estimator.py",
        "src/ssavae/losses.py",
    } <= found
    assert not any("explorer" in name for name in found)


def test_ages_are_wrong_where_a_current_result_has_become_old() -> None:
    age = {"dates": ["2026-11-22"], "commits": ["abc"], "changed": 0, "modules": 9}
    assert ages.stale({"x.json": age}, {"x.json": age}) == ""
    assert "x.json" in ages.stale({"x.json": age}, {"x.json": age | {"changed": 1}})
    assert ages.stale({"x.json": age | {"changed": 2}}, {"x.json": age | {"changed": 3}}) == ""
    assert "x.json" in ages.stale({}, {"x.json": age})


def test_every_result_has_an_age_with_date_commit_and_command() -> None:
    known = json.loads((ROOT / "benchmarks" / "ages.json").read_text("utf-8"))
    assert set(known) == set(ages.result_files())
    for file, age in known.items():
        assert age["dates"] and age["commits"] and age["command"] not in ("", "not recorded"), file
