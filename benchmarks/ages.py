"""Age of each result file: is the code that it measures still the code of today?

    python benchmarks/ages.py                  list the results, and write benchmarks/ages.json
    python benchmarks/ages.py --check          write nothing; exit with 1 where ages.json is wrong of a result
    python benchmarks/ages.py --rerun NAME     run the command of a result (part of its name) again

`benchmarks/commands.toml` names the command of each file; of one that it does not name, the command in
the file is taken. Its code is every module of ssavae and of benchmarks that the script imports, at the
top or within a function, directly or not. A module has changed when its syntax tree without docstrings
differs between a commit of the result and the working tree; one that did not exist then, or lay
elsewhere, has changed. What a file does not state itself is taken from git log, and named as recovered.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import ssavae

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
AGES = ROOT / "benchmarks" / "ages.json"
PROGRAM = ("src/ssavae/app/runs/train.py", "src/ssavae/app/runs/evaluate.py")  # what `ssavae train` runs
COMMANDS: dict[str, dict[str, str]] = tomllib.loads(
    (ROOT / "benchmarks" / "commands.toml").read_text("utf-8")
)

HOMES: dict[str, str] = ssavae._HOMES
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def git(*words: str) -> str:
    """Return what a git command prints."""
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout


def has_history() -> bool:
    """Whether this is a clone with all its commits, not an archive or a shallow clone."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--is-shallow-repository"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "false"


# ----------------------------------------------------------------- the modules that a script imports


def module_file(name: str, beside: Path) -> Path | None:
    """Return the file of a module of ssavae, or of a script's own folder."""
    for folder in (ROOT / "src", beside, ROOT / "benchmarks"):
        base = folder / Path(*name.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node but those that only a type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from statements(child)


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield every module that may be imported, those inside functions too."""
    for node in statements(tree):
        match node:
            case ast.ImportFrom(module="ssavae", names=names):  # which imports a public name on first use
                yield from (HOMES.get(each.name, f"ssavae.{each.name}") for each in names)
            case ast.Import(names=names):
                yield from (each.name for each in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{each.name}" for each in names)


@cache
def imports(path: Path) -> frozenset[Path]:
    """Return the files that one file imports."""
    names = imported_names(ast.parse(path.read_text("utf-8")))
    return frozenset(found for name in names if (found := module_file(name, path.parent)) is not None)


def closure(scripts: list[Path]) -> list[Path]:
    """Return the scripts and everything that they import."""
    reached: set[Path] = set()
    waiting = list(scripts)
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting.extend(imports(path))
    return sorted(reached)


# ----------------------------------------------------------------- what has changed


def code_digest(source: str) -> str:
    """Digest of a module's syntax tree without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return sha256(ast.dump(tree).encode()).hexdigest()


@cache
def digest_of_blob(blob: str) -> str:
    """Digest of the code in an object of git."""
    return code_digest(git("cat-file", "blob", blob))


@cache
def blobs(commit: str) -> dict[str, str]:
    """Return the object of every Python file of a commit."""
    lines = (
        line.split(maxsplit=3) for line in git("ls-tree", "-r", commit, "src", "benchmarks").splitlines()
    )
    return {path: blob for _, _, blob, path in lines if path.endswith(".py")}


@cache
def digest_today(path: Path) -> str:
    """Digest of the code of a file in the working tree."""
    return code_digest(path.read_text("utf-8"))


def has_changed(path: Path, commit: str) -> bool:
    """Whether a file's code differs from that of a commit."""
    blob = blobs(commit).get(path.relative_to(ROOT).as_posix())
    return blob is None or digest_of_blob(blob) != digest_today(path)


# ----------------------------------------------------------------- what a result says of itself


def stated(document: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """Yield the values of these keys, wherever they stand in a document."""
    if isinstance(document, list):
        for entry in document:
            yield from stated(entry, names)
    elif isinstance(document, dict):
        for name, value in document.items():
            if name in names:
                yield from value if isinstance(value, list) else [value]
            elif isinstance(value, dict | list):
                yield from stated(value, names)


def age_of(file: str) -> dict[str, Any]:
    """Return what a result says of itself, and how many modules of its code have changed since."""
    document = json.loads((RESULTS / file).read_text("utf-8"))
    commits = {
        str(each).removesuffix("-dirty")[:7] for each in stated(document, ("git_commit", "commit")) if each
    }
    dates = {str(each)[:10] for each in stated(document, ("date",))}
    cpus = {f"{each}" for each in stated(document, ("cpu",))} | {
        f"{each}" for each in stated(document, ("gpu",)) if each
    }
    seeds = {each for each in stated(document, ("seed", "random_state")) if isinstance(each, int)}
    recovered = [name for name, found in (("commit", commits), ("date", dates)) if not found]
    # a file that is not committed yet is as new as the last commit
    last = git("log", "-1", "--format=%h %cs", "--", f"benchmarks/results/{file}") or git(
        "log", "-1", "--format=%h %cs"
    )
    last_commit, last_date = last.split()
    command, scripts = source_of(file, document)
    modules = closure(scripts)
    known = sorted(commits or {last_commit[:7]}, key=lambda commit: git("log", "-1", "--format=%ct", commit))
    changed = [path for path in modules if any(has_changed(path, commit) for commit in known)]
    return {
        "dates": sorted(dates) or [last_date],
        "commits": known,
        "seeds": sorted(seeds),
        "machine": ", ".join(sorted(cpus)) or "not recorded",
        "command": command,
        "recovered": recovered,
        "modules": len(modules),
        "changed": len(changed),
    }


def result_files() -> list[str]:
    """Return the names of all result files."""
    return sorted(path.relative_to(RESULTS).as_posix() for path in RESULTS.rglob("*.json"))


def source_of(file: str, document: Any) -> tuple[str, list[Path]]:
    """Return the command that makes a result, and the scripts that it runs."""
    if file in COMMANDS:
        return COMMANDS[file]["command"], [ROOT / each for each in COMMANDS[file]["code"].split()]
    command = next(stated(document, ("command",)), "not recorded")
    scripts = [ROOT / each for each in re.findall(r"benchmarks/[\w/]+\.py", command)]
    return command, [each for each in scripts if each.is_file()] or [ROOT / each for each in PROGRAM]


def rerun(part: str) -> None:
    """Run the command of each result whose name contains a text."""
    for file in result_files():
        if part in file:
            command, _ = source_of(file, json.loads((RESULTS / file).read_text("utf-8")))
            print("$", command, flush=True)
            subprocess.run(shlex.split(command), cwd=ROOT, check=True)


def main() -> None:
    """List the ages, write or check them, or run a command again."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--check", action="store_true")
    options.add_argument("--rerun", metavar="NAME")
    given = options.parse_args()
    if given.rerun:
        return rerun(given.rerun)
    if not has_history():
        return print("no history of git here: the ages in benchmarks/ages.json stay as they are")
    ages = {file: age_of(file) for file in result_files()}
    for file, age in ages.items():
        state = f"{age['changed']:3d} of {age['modules']} modules changed" if age["changed"] else "current"
        print(f"{file:50s} {age['dates'][-1]} {age['commits'][-1]:8s} {state}")
    if given.check:
        sys.exit(stale(json.loads(AGES.read_text("utf-8")), ages) or 0)
    AGES.write_text(json.dumps(ages, indent=1) + "\n", "utf-8")


def stale(written: dict[str, Any], today: dict[str, Any]) -> str:
    """Say where the ages that pages show are wrong; how many modules have changed may differ."""
    wrong = [file for file in today if _shown(written.get(file)) != _shown(today[file])]
    return f"ages.json is wrong about {', '.join(wrong)}: run make numbers" if wrong else ""


def _shown(age: dict[str, Any] | None) -> object:
    return age and (age["dates"], age["commits"], bool(age["changed"]))


if __name__ == "__main__":
    main()
