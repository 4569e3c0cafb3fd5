"""The code closure: what counts as a change of a stage's code, and what does not."""

import ast
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workflows.code.closure import CodeClosure, closure, difference
from workflows.environment import PROJECT
from workflows.errors import RefError, WorkflowError

FILES = {
    "pipelines/__init__.py": '"""Jobs."""\n',
    "pipelines/filter.py": '''
"""The filter stage."""
import json
from pydantic import BaseModel
import pipelines.tables
from pipelines import text
from pipelines.limits import Limits, STRATEGIES
from pipelines.text import marked as mark
from llada import fold as folding


class Config(BaseModel):
    """What to filter."""
    rules: tuple[str, ...] = ("gopher",)

    def limit(self):
        return 3


def run(workspace, config: Config):
    """Run the stage."""
    from filters.judge import Judge  # lazy: it is heavy

    judge = Judge(Limits())
    words = [text.normalise(word) for word in workspace]
    primes = pipelines.tables.PRIMES
    return mark(judge, primes, STRATEGIES["first"], folding.deep, json.dumps(words))


def unrelated():
    return 1


if __name__ == "__main__":
    print(run([], Config()))
''',
    "pipelines/text.py": '''
"""Text."""
from .stop import STOP, Words as Kept

SEPARATOR = " "


def normalise(word, form="NFC"):
    # why: words in any case
    return strip(word).lower()


def strip(word):
    if word in STOP: return ""
    return word.strip(SEPARATOR) + Kept.first


def marked(*things, size=len(SEPARATOR)):
    return things


def never_called():
    return 0
''',
    "pipelines/stop.py": 'STOP = {"the", "of"}\nclass Words:\n    first = "a"\nOTHER = 1\n',
    "pipelines/tables.py": "PRIMES = [2, 3]\nPRIMES.append(5)\nSQUARES = [4, 9]\n",
    "pipelines/limits.py": """
from pipelines.traced import traced


class Base:
    def floor(self):
        return LOWEST


LOWEST = 1


class Limits(Base):
    @traced
    def top(self):
        return self.floor() + 1

    @property
    def width(self): return 5


def first(x): return x
def second(x): return -x


STRATEGIES = {"first": first, "second": second}
""",
    "pipelines/traced.py": "def traced(f):\n    return f\n",
    "filters/__init__.py": "",
    "filters/judge.py": """
import sys

sys.setrecursionlimit(3000)


class Judge:
    def __init__(self, limits):
        self.limits = limits

    def __call__(self, document):
        return self._inner(document)

    def _inner(self, document):
        return document
""",
    "llada/__init__.py": '"""Model."""\nfrom llada.fold import deep\n',
    "llada/fold.py": "deep = 3\nshallow = 1\n",
}

Edit = Callable[[str, str, str], CodeClosure]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, source in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return tmp_path


@pytest.fixture
def before(project: Path) -> CodeClosure:
    return closure("pipelines.filter.run", project)


@pytest.fixture
def edit(project: Path, before: CodeClosure) -> Edit:
    """Replace a piece of one file and return the closure after it."""

    def edited(file: str, old: str, new: str) -> CodeClosure:
        path = project / file
        source = path.read_text()
        assert source.count(old) == 1, f"{old!r} must stand exactly once in {file}"
        path.write_text(source.replace(old, new))
        later = time.time_ns() + 10**9
        os.utime(path, ns=(later, later))
        return closure("pipelines.filter.run", project)

    return edited


def test_closure_names_exactly_what_the_stage_reaches(before: CodeClosure) -> None:
    assert list(before.parts) == [
        "filters.judge.<module>",
        "filters.judge.Judge",
        "filters.judge.Judge.__call__",
        "filters.judge.Judge.__init__",
        "filters.judge.Judge._inner",
        "llada.fold.deep",
        "pipelines.filter.Config",
        "pipelines.filter.Config.limit",
        "pipelines.filter.run",
        "pipelines.limits.Base",
        "pipelines.limits.Base.floor",
        "pipelines.limits.LOWEST",
        "pipelines.limits.Limits",
        "pipelines.limits.Limits.top",
        "pipelines.limits.Limits.width",
        "pipelines.limits.STRATEGIES",
        "pipelines.limits.first",
        "pipelines.limits.second",
        "pipelines.stop.STOP",
        "pipelines.stop.Words",
        "pipelines.tables.PRIMES",
        "pipelines.text.SEPARATOR",
        "pipelines.text.marked",
        "pipelines.text.normalise",
        "pipelines.text.strip",
        "pipelines.traced.traced",
    ]


SAME = [
    ("pipelines/text.py", "    # why: words in any case\n", ""),
    ("pipelines/text.py", '"""Text."""', '"""Texts, at length."""'),
    ("pipelines/filter.py", '    """Run the stage."""\n', ""),
    ("pipelines/filter.py", '    """What to filter."""\n', '    """What."""\n'),
    (
        "pipelines/text.py",
        'if word in STOP: return ""',
        'if (word\n        in STOP):\n        return ""',
    ),
    ("pipelines/text.py", "def strip(word):", 'def strip(word: str) -> "str":'),
    ("pipelines/text.py", 'SEPARATOR = " "', 'SEPARATOR: str = " "'),
    ("pipelines/stop.py", '{"the", "of"}', "{'the', 'o' 'f',}"),
    ("pipelines/text.py", "return 0", "return 100"),
    ("pipelines/filter.py", "return 1", "return 2"),
    ("pipelines/filter.py", "print(run([], Config()))", "print(1)"),
    ("pipelines/stop.py", "OTHER = 1", "OTHER = 2"),
    ("pipelines/tables.py", "SQUARES = [4, 9]", "SQUARES = []"),
    ("llada/fold.py", "shallow = 1", "shallow = 2"),
]


@pytest.mark.parametrize("change", SAME)
def test_what_changes_no_behaviour_changes_no_digest(
    before: CodeClosure, edit: Edit, change: tuple[str, str, str]
) -> None:
    assert edit(*change) == before


CHANGED = [
    # a helper called by the stage, one two calls away, a constant, a set literal
    ("pipelines/text.py", "lower()", "upper()", "pipelines.text.normalise"),
    ("pipelines/text.py", "word.strip(", "word.lstrip(", "pipelines.text.strip"),
    ("pipelines/text.py", '" "', '"_"', "pipelines.text.SEPARATOR"),
    ("pipelines/stop.py", '"of"', '"on"', "pipelines.stop.STOP"),
    # a default argument, by position and by name
    ("pipelines/text.py", "NFC", "NFD", "pipelines.text.normalise"),
    ("pipelines/text.py", "size=len", "size=hash", "pipelines.text.marked"),
    # a class attribute, a method that no one is seen to call, a base class, a decorator
    ("pipelines/stop.py", '"a"', '"b"', "pipelines.stop.Words"),
    ("filters/judge.py", "return document", "return 0", "filters.judge.Judge._inner"),
    ("pipelines/limits.py", "return 5", "return 6", "pipelines.limits.Limits.width"),
    ("pipelines/limits.py", "LOWEST = 1", "LOWEST = 2", "pipelines.limits.LOWEST"),
    ("pipelines/traced.py", "return f", "return print", "pipelines.traced.traced"),
    # a table, what fills it later, and a function that only the table names
    ("pipelines/limits.py", '"second": second', '"two": second', "pipelines.limits.STRATEGIES"),
    ("pipelines/limits.py", "return -x", "return +x", "pipelines.limits.second"),
    ("pipelines/tables.py", "append(5)", "append(7)", "pipelines.tables.PRIMES"),
    # through an attribute of a module, also one whose package re-exports from it
    ("llada/fold.py", "deep = 3", "deep = 4", "llada.fold.deep"),
    # the config that the stage is handed, by its annotation: a method, a field, a field's type
    ("pipelines/filter.py", "return 3", "return 4", "pipelines.filter.Config.limit"),
    ("pipelines/filter.py", '"gopher"', '"c4"', "pipelines.filter.Config"),
    ("pipelines/filter.py", "tuple[str, ...]", "tuple[int, ...]", "pipelines.filter.Config"),
    # what importing a module does, and which third-party name stands behind an alias
    ("filters/judge.py", "3000", "4000", "filters.judge.<module>"),
    ("pipelines/filter.py", "import json", "import orjson as json", "pipelines.filter.run"),
]


@pytest.mark.parametrize(("change", "part"), [(row[:3], row[3]) for row in CHANGED])
def test_a_change_of_behaviour_is_named(
    before: CodeClosure, edit: Edit, change: tuple[str, str, str], part: str
) -> None:
    after = edit(*change)

    assert after.digest != before.digest
    assert difference(before.parts, after.parts) == [f"{part} changed"]


def test_difference_tells_added_and_removed_from_changed(before: CodeClosure, edit: Edit) -> None:
    after = edit("pipelines/text.py", "return strip(word).lower()", "return never_called()")

    assert difference(before.parts, after.parts) == [
        "pipelines.text.normalise changed",
        "pipelines.text.never_called added",
        "pipelines.stop.STOP removed",
        "pipelines.stop.Words removed",
        "pipelines.text.strip removed",
    ]
    assert difference(before.parts, before.parts) == []


def test_a_method_names_its_whole_class(project: Path) -> None:
    by_method = closure("filters.judge.Judge.__call__", project)
    assert by_method == closure("filters.judge.Judge", project)


@pytest.mark.parametrize(
    "name", ["pipelines.filter.nope", "pipelines.filter", "torch.nn.Linear", "run"]
)
def test_an_unknown_name_says_what_is_allowed(project: Path, name: str) -> None:
    with pytest.raises(RefError, match=r"top-level functions: move it there"):
        closure(name, project)


def test_a_broken_file_is_named(project: Path) -> None:
    (project / "pipelines/stop.py").write_text("STOP = {\n")
    with pytest.raises(WorkflowError, match=r"pipelines/stop\.py: .*Repair the file"):
        closure("pipelines.filter.run", project)


def test_digest_is_the_same_in_every_process_and_imports_nothing_heavy(
    project: Path, before: CodeClosure
) -> None:
    program = (
        "import sys; from pathlib import Path; from workflows.code.closure import closure\n"
        f"print(closure('pipelines.filter.run', Path({str(project)!r})).digest)\n"
        "print(sorted({'torch', 'ray', 'numba', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    )
    for seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines() == [before.digest, "[]"]


def test_this_repository_rewritten_without_comments_and_layout_keeps_its_digests(
    tmp_path: Path,
) -> None:
    """An oracle on real code: `ast.unparse` drops every comment and all formatting."""
    for package in ("filters", "llada", "pipelines", "workflows"):
        for source in (PROJECT / package).rglob("*.py"):
            copy = tmp_path / source.relative_to(PROJECT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(ast.unparse(ast.parse(source.read_text())) + "\n")

    for name in ("pipelines.units.run_units", "workflows.runner.Runner"):
        assert difference(closure(name).parts, closure(name, tmp_path).parts) == []


def test_a_second_closure_costs_milliseconds() -> None:
    closure("pipelines.units.run_units")
    started = time.perf_counter()
    closure("pipelines.units.run_units")
    assert time.perf_counter() - started < 0.05
