"""The reference names every public name, parameter and option, and shows nine in ten functions at work."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ssavae

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
sys.path.append(str(ROOT / "docs" / "_ext"))


def page(name: str) -> str:
    """Text of a page of the reference."""
    return (REFERENCE / name).read_text("utf-8")


def documented_classes() -> list[type]:
    """Classes that a page names one by one."""
    names = re.findall(r"autoclass:: ([\w.]+)", page("estimator.md") + page("library.md"))
    return [
        getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in names
    ]


def public_functions() -> Iterator[tuple[str, Any]]:
    """Every function of the reference, and every method but the dunder ones and ``forward``."""
    modules = [
        importlib.import_module(name) for name in re.findall(r"automodule:: ([\w.]+)", page("library.md"))
    ]
    classes = documented_classes()
    for name in ssavae.__all__:
        if inspect.isfunction(getattr(ssavae, name)):
            yield name, getattr(ssavae, name)
    for module in modules:
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", "").partition(".")[0] != "ssavae":
                continue
            if inspect.isfunction(value) and (
                value.__module__ == module.__name__ or name in getattr(module, "__all__", ())
            ):
                yield f"{module.__name__}.{name}", value
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                classes.append(value)
    for each in dict.fromkeys(classes):
        for name, value in vars(each).items():
            if inspect.isfunction(value) and not name.startswith("_") and name != "forward":
                yield f"{each.__name__}.{name}", value


def has_example(name: str, function: Any, shown: str) -> bool:
    """Whether a docstring has an example, or the page of examples calls the function."""
    return (
        ">>>" in (function.__doc__ or "") or re.search(rf"\b{name.rpartition('.')[2]}\(", shown) is not None
    )


def test_nine_in_ten_functions_have_an_example() -> None:
    pages = page("methods-by-example.md") + page("modules-by-example.md")
    shown = "\n".join(line for line in pages.splitlines() if line.startswith((">>>", "...")))
    functions = dict(public_functions())
    without = sorted(name for name, function in functions.items() if not has_example(name, function, shown))
    assert len(functions) > 80
    assert len(without) <= 0.1 * len(functions), f"{len(without)} of {len(functions)}: {without}"


def test_an_example_is_missed() -> None:
    assert not has_example("SSAVAE.fit", lambda: None, ">>> model.fit_decoder(X)")
    assert has_example("SSAVAE.fit", lambda: None, ">>> model.fit(X)")


def test_every_public_name_is_in_the_reference() -> None:
    text = page("estimator.md")
    assert [name for name in ssavae.__all__ if f"ssavae.{name}" not in text] == []


@pytest.mark.parametrize("each", [ssavae.SSAVAE, ssavae.load, ssavae.Exported, *documented_classes()])
def test_every_parameter_is_described(each: Any) -> None:
    described = re.split(r"\n\s*(?:Raises|Attributes|Returns)\n", each.__doc__)[0]
    names = [name for name in inspect.signature(each).parameters if name != "self"]
    fields = inspect.getsource(each) if hasattr(each, "__dataclass_fields__") else ""
    missing = [name for name in names if not re.search(rf"\b{name}\b.*:", described + fields)]
    assert missing == []


@pytest.mark.parametrize(
    "method", ["fit", "fit_decoder", "sample", "suggest", "calibrate", "predict_set", "is_trusted"]
)
def test_every_parameter_of_a_method_is_in_its_docstring(method: str) -> None:
    function = getattr(ssavae.SSAVAE, method)
    names = [name for name in inspect.signature(function).parameters if name not in ("self", "X", "Z")]
    assert [name for name in names if name not in function.__doc__] == []


def test_every_option_is_in_the_reference_of_the_command_line() -> None:
    pytest.importorskip("sphinx", reason="the site is built with the extra docs")
    import typer
    from cli_reference import page as command_line

    from ssavae.app.cli.main import app

    sections = dict(
        re.findall(r"^## (ssavae[^\n]*)\n(.*?)(?=^## |\Z)", command_line(), re.MULTILINE | re.DOTALL)
    )
    waiting = [("ssavae", typer.main.get_command(app))]
    n_options = 0
    while waiting:
        name, command = waiting.pop()
        for parameter in command.params:
            n_options += 1
            options = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or ""]
            assert all(f"`{option}`" in sections[name] or option == "--help" for option in options), (
                name,
                options,
            )
        waiting += [(f"{name} {child}", each) for child, each in getattr(command, "commands", {}).items()]
    assert n_options > 100
