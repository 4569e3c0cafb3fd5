"""How names are resolved: imports of every form, scopes, circles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from workflows.code.closure import CodeClosure, closure, difference

LIMITS = "def first(x): return x\ndef second(x): return -x\nBOTH = (first, second)\n"

Run = Callable[..., CodeClosure]


@pytest.fixture
def closure_of(tmp_path: Path) -> Run:
    """Return the closure of `run` in a module with this source, beside `pipelines.limits`."""

    def built(source: str, **others: str) -> CodeClosure:
        for name, text in {"stage": source, "limits": LIMITS, "__init__": "", **others}.items():
            path = tmp_path / "pipelines" / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return closure("pipelines.stage.run", tmp_path)

    return built


@pytest.mark.parametrize(
    "imports",
    [
        "from pipelines.limits import first",
        "from .limits import first",
        "from .limits import *",
        "from pipelines.limits import second as zero, first",
        "try:\n    from pipelines.limits import first\nexcept ImportError:\n    first = None",
        "import pipelines.limits as limits\nfirst = limits.first",
        "import pipelines.limits\nfirst = pipelines.limits.first",
        "from pipelines import limits\nfirst = getattr(limits, 'first')",
        "from pipelines.limits import BOTH\nfirst = BOTH[0]",
        "import typing\nif typing.TYPE_CHECKING: import torch\nfrom .limits import first",
    ],
)
def test_every_form_of_import_is_followed(closure_of: Run, imports: str) -> None:
    parts = closure_of(f"{imports}\ndef run(x): return first(x)\n").parts
    assert "pipelines.limits.first" in parts
    assert "pipelines.stage.<module>" not in parts


@pytest.mark.parametrize(
    ("body", "reached"),
    [
        ("return helper()", True),
        ("helper = 1; return helper", False),
        ("return [helper for helper in x]", False),
        ("y = [helper for helper in x]; return helper", True),
        ("return [helper for helper in helper]", True),
        ("return lambda helper: helper", False),
        ("return lambda: helper", True),
        ("for helper in x: print(helper)", False),
        ("global helper; helper = helper + 1", True),
        ("with x as helper: return helper", False),
        ("def helper(): pass\n    return helper()", False),
        ("def inner(): helper = 1\n    return helper", True),
        ("from os import path as helper\n    return lambda: helper", False),
        ("from pipelines.stage import helper as other\n    return lambda: other()", True),
        ("match x:\n        case [*helper]: return helper", False),
        ("return x.helper", False),
        ("return 'helper'", False),
    ],
)
def test_a_local_name_is_not_mistaken_for_the_modules(
    closure_of: Run, body: str, reached: bool
) -> None:
    parts = closure_of(f"def helper(): return 1\ndef run(x):\n    {body}\n").parts
    assert ("pipelines.stage.helper" in parts) is reached


def test_annotations_reach_classes_and_nothing_else(closure_of: Run) -> None:
    source = """
from typing import Literal
Mode = Literal["a"]
Configs = "Config | None"
def Config_of(): return 1
class Config:
    def method(self): return 1
class Other: ...
def run(x: Mode, y: list["Config"], z: Config_of) -> "Other": return x
"""
    assert list(closure_of(source).parts) == [
        "pipelines.stage.Config",
        "pipelines.stage.Config.method",
        "pipelines.stage.Other",
        "pipelines.stage.run",
    ]


def test_an_alias_in_an_annotation_is_looked_through(closure_of: Run) -> None:
    source = "class A: ...\nMany = dict[str, A]\ndef run(x: Many): return x\n"
    assert list(closure_of(source).parts) == ["pipelines.stage.A", "pipelines.stage.run"]


def test_names_that_swap_places_are_a_change(closure_of: Run) -> None:
    one = closure_of("from .limits import first as a, second as b\ndef run(): return a(b(1))\n")
    two = closure_of("from .limits import second as a, first as b \ndef run(): return a(b(1))\n")

    assert difference(one.parts, two.parts) == ["pipelines.stage.run changed"]


def test_a_function_named_like_its_module_is_found_through_the_package(closure_of: Run) -> None:
    parts = closure_of(
        "from pipelines.sub import score\nimport pipelines.sub.score\n"
        "def run(): return score(), score.missing, pipelines.sub.score\n",
        **{
            "sub.__init__": "from pipelines.sub.score import score\n",
            "sub.score": "def score(): return 1\n",
        },
    ).parts
    assert list(parts) == ["pipelines.stage.run", "pipelines.sub.score.score"]


def test_imports_in_a_circle_end(closure_of: Run) -> None:
    parts = closure_of(
        "from pipelines.two import f\ndef run(): return f()\n",
        two="from pipelines.stage import f\n",
    ).parts
    assert list(parts) == ["pipelines.stage.run"]


def test_a_lazy_package_counts_the_function_that_loads_its_names(closure_of: Run) -> None:
    lazy = "def __getattr__(name):\n    return _TABLE[name]\n_TABLE = {'f': 1}\n"
    parts = closure_of("from pipelines.lazy import f\ndef run(): return f\n", lazy=lazy).parts
    assert {"pipelines.lazy.__getattr__", "pipelines.lazy._TABLE"} < parts.keys()
