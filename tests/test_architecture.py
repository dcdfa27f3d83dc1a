"""The house rules of CONTRIBUTING.md that a program can check, and that each check can fail."""

import ast
import importlib
import importlib.util
import io
import os
import re
import statistics
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALGORITHMS = "Algorithms import losses, networks, consistency and detail only"
SOURCE = ROOT / "src"
FILES = sorted((SOURCE / "ssavae").rglob("*.py"))
HEAVY = ("matplotlib", "typer", "fastapi", "pandas", "torchmetrics", "PIL")
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
WASTEBASKETS = {"utils", "util", "helpers", "helper", "misc", "common"}
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function of the tree, nested ones and methods too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def code_lines(source: str) -> set[int]:
    """Numbers of the lines that hold more than a comment or nothing."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    spans = (range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in LAYOUT)
    return {line for span in spans for line in span}


def body_length(function: Function, lines: set[int]) -> int:
    """Lines of code in the body: neither signature nor docstring, comments or blank lines."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    first, last = body[0].lineno, max(node.end_lineno or 0 for node in body)
    return len(lines.intersection(range(first, last + 1)))


def lengths(source: str, name: str) -> list[tuple[int, str]]:
    """(length, where) for every function of a module."""
    lines = code_lines(source)
    return [(body_length(f, lines), f"{name}:{f.lineno} {f.name}") for f in functions(ast.parse(source))]


def public(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Names that users see, as (dotted name, node): functions, classes, and their methods with __init__."""
    for node in body:
        if not isinstance(node, Function | ast.ClassDef):
            continue
        if node.name.startswith("_") and not (owner and node.name in ("__init__", "__call__")):
            continue
        yield owner + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from public(node.body, f"{owner}{node.name}.")


def takes_any_keyword(source: str) -> list[str]:
    """Public functions with a ** parameter."""
    found = public(ast.parse(source).body)
    return [name for name, node in found if isinstance(node, Function) and node.args.kwarg]


def lacks_docstring(source: str) -> list[str]:
    """Public functions, methods and classes without one; a class speaks for its __init__ and forward."""
    found = {name: ast.get_docstring(node) for name, node in public(ast.parse(source).body)}
    return [name for name, text in found.items() if not text and not re.search(r"\.(_\w+|forward)$", name)]


def reads_pickles(source: str) -> list[str]:
    """Lines that import a pickling library, name torch.load or switch allow_pickle on."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names) if {a.name.partition(".")[0] for a in names} & PICKLERS:
                found.append(node)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in PICKLERS:
                found.append(node)
            case ast.ImportFrom(module="torch", names=names) if "load" in {a.name for a in names}:
                found.append(node)
            case ast.Attribute(value=ast.Name(id="torch"), attr="load"):
                found.append(node)
            case ast.Call(keywords=keywords) if any(map(allows_pickle, keywords)):
                found.append(node)
    return [f"line {node.lineno}: {ast.unparse(node)}" for node in found]


def allows_pickle(keyword: ast.keyword) -> bool:
    """Whether the argument is allow_pickle with anything but a plain False."""
    is_false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
    return keyword.arg == "allow_pickle" and not is_false


def loaded_by(statement: str, names: tuple[str, ...]) -> list[str]:
    """Which of the top-level modules a fresh interpreter holds after the statement."""
    program = f"{statement}\nimport sys\nprint(*(n for n in {names} if n in sys.modules))"
    done = run(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of the pyproject.toml in a folder, on the packages beside it or under src."""
    return run(str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache", root=root)


def run(*command: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, on the sources there whatever is installed."""
    env = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=300)


def over_all_files(check) -> dict[str, list[str]]:
    """What a check finds, by file, the files without findings left out."""
    found = {path.relative_to(ROOT).as_posix(): check(path.read_text("utf-8")) for path in FILES}
    return {name: hits for name, hits in found.items() if hits}


# The rules


def test_imports_go_one_way():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_functions_are_short():
    every = [entry for path in FILES for entry in lengths(path.read_text("utf-8"), path.name)]
    worst = "\n".join(f"{n:4d} {where}" for n, where in sorted(every, reverse=True)[:15])
    sizes = sorted(n for n, _ in every)
    assert statistics.median(sizes) <= 6, f"the longest:\n{worst}"
    assert sizes[int(0.9 * len(sizes))] <= 16, f"the longest:\n{worst}"


# A quarter of it documents and stores parameters, in the form that scikit-learn wants; the rest is one short
# method after the other, each of which calls its package.
LONGER = {"src/ssavae/estimator.py": 1115, "src/ssavae/networks.py": 505}


def test_files_are_small():
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {name: n for name, n in sizes.items() if n > LONGER.get(name, 400)} == {}


def test_folders_are_narrow():
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in FILES)
    assert {folder: n for folder, n in counts.items() if n > 16} == {}
    assert counts["src/ssavae"] <= 12


def takes_any(function: Function) -> bool:
    """Whether a parameter or the result is annotated with Any."""
    arguments = function.args
    parameters = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    notes = [each.annotation for each in parameters if each is not None]
    return any(
        re.search(r"\bAny\b", ast.unparse(note)) for note in [*notes, function.returns] if note is not None
    )


def test_few_signatures_say_any():
    every = [f for path in FILES for f in functions(ast.parse(path.read_text("utf-8")))]
    assert sum(map(takes_any, every)) <= 0.03 * len(every)


def test_no_wastebasket_module():
    stems = {path.relative_to(ROOT).as_posix(): {path.stem, path.parent.name} for path in FILES}
    assert [name for name, parts in stems.items() if parts & WASTEBASKETS] == []


def test_public_signatures_name_their_parameters():
    assert over_all_files(takes_any_keyword) == {}


def test_public_names_have_docstrings():
    assert over_all_files(lacks_docstring) == {}


def test_nothing_reads_pickles():
    assert over_all_files(reads_pickles) == {}


def test_import_is_light():
    assert loaded_by("import ssavae", HEAVY) == []


# The checks themselves


def test_any_is_found():
    sample = "def f(x: Any): ...\ndef g(x: int) -> dict[str, Any]: ...\ndef h(x: Anything): ..."
    assert [takes_any(f) for f in functions(ast.parse(sample))] == [True, True, False]


SAMPLE = dedent('''
    def short(x):
        """Docstring

        of three lines."""
        # a comment

        return (
            x
        )

    class Thing:
        def __init__(self, **kwargs): pass
        def _hidden(self, **kwargs): pass
        def forward(self, x): return x
        def method(self):
            text = """two
            lines"""
            def inner(): return text
            return inner

    def _private(**kwargs): "a docstring is no code"
    ''')


def test_lengths_count_code_only():
    found = {where.split()[1]: n for n, where in lengths(SAMPLE, "sample")}
    assert found == {
        "short": 3,
        "__init__": 1,
        "_hidden": 1,
        "forward": 1,
        "method": 4,
        "inner": 1,
        "_private": 0,
    }


def test_public_names_are_found():
    assert [name for name, _ in public(ast.parse(SAMPLE).body)] == [
        "short",
        "Thing",
        "Thing.__init__",
        "Thing.forward",
        "Thing.method",
    ]
    assert takes_any_keyword(SAMPLE) == ["Thing.__init__"]
    assert lacks_docstring(SAMPLE) == ["Thing", "Thing.method"]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import os, joblib",
        "from pickle import loads",
        "from torch import load",
        "torch.load('x')",
        "read = torch.load",
        "np.load('x', allow_pickle=True)",
        "np.load('x', allow_pickle=flag)",
    ],
)
def test_pickle_readers_are_found(line: str):
    assert len(reads_pickles(line)) == 1


def test_safe_readers_pass():
    safe = "import json\nnp.load('x', allow_pickle=False)\nsafetensors.torch.load('x')\nfrom torch import nn"
    assert reads_pickles(safe) == []


def test_loaded_modules_are_found():
    assert loaded_by("import json", ("json", "wave")) == ["json"]


@pytest.fixture
def hollow(tmp_path: Path) -> Path:
    """A package of the same modules, all empty, under the same contracts."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    (tmp_path / "pyproject.toml").write_text(text[text.index("[tool.importlinter]") :], "utf-8")
    for path in FILES:
        empty = tmp_path / path.relative_to(SOURCE)
        empty.parent.mkdir(parents=True, exist_ok=True)
        empty.touch()
    return tmp_path


LAYERS = "Packages import from lower layers only"


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("losses", "", []),
        ("losses", "import ssavae.estimator", [LAYERS]),
        (
            "losses",
            "import ssavae.networks",
            [LAYERS, "Losses, networks, metrics and figures import _checks and _serialize only"],
        ),
        ("novel", "", [LAYERS]),
        ("persistence/hub", "import ssavae.training.loop", [LAYERS]),
        ("persistence/hub", "def f():\n    import ssavae.training.loop", [LAYERS]),
        ("training/plan", "if TYPE_CHECKING:\n    import ssavae.estimator", [LAYERS]),
        (
            "training/loop",
            "import ssavae.data.tables",
            ["The library imports no data, metrics, figures or analysis"],
        ),
        (
            "onnx/runtime",
            "import ssavae.metrics.judge",
            ["The library imports no data, metrics, figures or analysis"],
        ),
        (
            "algorithms",
            "import ssavae._checks",
            [ALGORITHMS],
        ),
        ("metrics/latent", "import ssavae._serialize", []),
        (
            "metrics/latent",
            "import ssavae._version",
            ["Losses, networks, metrics and figures import _checks and _serialize only"],
        ),
        (
            "app/runs/folder",
            "import ssavae.app.cli.console",
            ["Command line and notebook stand on experiments and explorer, these on runs"],
        ),
        ("figures/maps", "import matplotlib.pyplot", []),
        ("app/cli/data", "import matplotlib.pyplot", ["matplotlib only in figures"]),
        ("training/progress", "import rich.progress", []),
        ("training/loop", "import rich.progress", ["rich only in app.cli and training.progress"]),
        ("estimator", "from typer import echo", ["typer only in app.cli"]),
        ("app/runs/train", "import fastapi", ["fastapi only in app.explorer"]),
    ],
)
def test_contracts_break(hollow: Path, module: str, line: str, broken: list[str]):
    (hollow / "ssavae" / f"{module}.py").write_text(line + "\n", "utf-8")
    done = lint_imports(hollow)
    assert re.findall(r"^(.*) BROKEN", done.stdout, re.MULTILINE) == broken, done.stdout + done.stderr
    assert done.returncode == bool(broken)


def imported_names(path: Path) -> set[tuple[str, str]]:
    """Return the modules of ours that a file imports from, each with a name that it takes."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {
        (str(node.module), alias.name)
        for node in imports
        for alias in node.names
        if str(node.module).partition(".")[0] == "ssavae"
    }


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").rglob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_imports_names_that_exist(path):
    for module, name in imported_names(path):
        where = importlib.import_module(module)
        known = hasattr(where, name) or importlib.util.find_spec(f"{module}.{name}") is not None
        assert known, f"{path.name} imports {name} from {module}"
