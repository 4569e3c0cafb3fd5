"""Documentation is found in packages by name, and read out of them without running them."""

import importlib.metadata
import json
import platform
from pathlib import Path

import pytest

from pipelines import docstrings
from pipelines.errors import InputError
from pipelines.installed_packages import package_files
from pipelines.listed_files import SourceFile
from pipelines.reading.portion import Portion
from pipelines.reading.readers import read
from pipelines.reading.records import Document, Reject, document_id
from pipelines.source import SourceConfig, listing, survey

METADATA = """\
Metadata-Version: 2.1
Name: Small-Thing
Version: 1.2+cpu
Summary: A thing.
License: MIT

# Small thing

It is small: été.
"""

MODULE = '''\
"""About
    the module."""
raise SystemExit("executed")


class One(object):
    """A class."""

    @property
    def two(self):
        r"""A method \\d."""

        def inner():
            """Inside."""


if True:
    try:
        async def three(): "In a try."
    except ImportError:
        def three(): "In a handler."
else:
    def three(): "Otherwise."
match 1:
    case 1:
        def four(): "In a case."
def silent(): return """no docstring"""
def escape(): "bad \\d escape"
'''


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on the path where the distribution Small-Thing is installed."""
    root = tmp_path / "site"
    files = {
        "small_thing-1.2+cpu.dist-info/METADATA": METADATA,
        "small_thing-1.2+cpu.dist-info/licenses/sub/LICENSE-MIT": "Do what you like.",
        "small_thing-1.2+cpu.dist-info/licenses/notice.md": "Notice.",
        "small_thing-1.2+cpu.dist-info/WHEEL": "wheel",
        "small/__init__.py": "",
        "small/sub/one.py": MODULE,
        "small/sub/tests/test_one.py": '"""Test."""',
        "small/data.json": "{}",
        "small/LICENSE": "not in dist-info",
        "small/_c.so": "\x7fELF",
    }
    outside = tmp_path / "outside.py"
    outside.write_text('"""Somebody else\'s."""')
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "small" / "link.py").symlink_to(outside)
    (root / "small" / "folder").symlink_to(tmp_path)
    odd = ["small/link.py", "small/folder/outside.py", "../outside.py", "small/gone.py"]
    record = "".join(f"{name},sha256=x,1\n" for name in [*files, *odd])
    (root / "small_thing-1.2+cpu.dist-info/RECORD").write_text(record)
    monkeypatch.syspath_prepend(str(root))
    return root


def _config(*packages: str, limit: int | None = None) -> SourceConfig:
    return SourceConfig(format="installed_packages", packages=packages, max_bytes_per_package=limit)


def _file(path: Path, name: str, format_: str) -> SourceFile:
    return SourceFile.model_validate(
        {"name": name, "uri": str(path), "format": format_, "bytes": 0, "xxh3_128": ""}
    )


def test_which_files_of_a_package_are_documentation(site: Path) -> None:
    found = survey(_config("small-thing"), site)
    home = "Small-Thing-1.2+cpu"
    assert {file.name: file.format for file in found.files} == {
        f"{home}/small/__init__.py": "python_docs",
        f"{home}/small/sub/one.py": "python_docs",
        f"{home}/small_thing-1.2+cpu.dist-info/METADATA": "package_metadata",
        f"{home}/small_thing-1.2+cpu.dist-info/licenses/notice.md": "text",
        f"{home}/small_thing-1.2+cpu.dist-info/licenses/sub/LICENSE-MIT": "text",
    }
    assert {file.name: file.rule for file in found.dropped} == {
        f"{home}/small/sub/tests/test_one.py": "tests_folder",
        f"{home}/small/gone.py": "not_a_file",
    }


def test_a_sample_fits_its_limit_says_what_it_left_and_does_not_depend_on_others(
    site: Path,
) -> None:
    whole = survey(_config("small-thing"), site)
    limit = sum(file.bytes for file in whole.files) - 1
    sample = survey(_config("small-thing", limit=limit), site)
    left = {file.name for file in sample.dropped if file.rule == "over_package_limit"}
    assert left
    assert sum(file.bytes for file in sample.files) <= limit
    assert {file.name for file in sample.files} | left == {file.name for file in whole.files}
    both = survey(_config("xxhash", "small-thing", limit=limit), site)
    assert [f for f in both.files if f.name.startswith("Small")] == list(sample.files)


def test_the_standard_library_is_a_package_called_python() -> None:
    found = survey(_config("python"), Path())
    by_name = {file.name: file.format for file in found.files}
    home = f"python-{platform.python_version()}"
    assert by_name[f"{home}/os.py"] == by_name[f"{home}/asyncio/tasks.py"] == "python_docs"
    assert by_name[f"{home}/pydoc_data/topics.py"] == "pydoc_topics"
    assert not [name for name in by_name if "site-packages" in name or "/test/" in name]
    assert {file.rule for file in found.dropped} == {"tests_folder"}
    assert [file.name for file in found.files] == sorted(by_name)


def test_everything_lists_each_file_once_and_every_package(site: Path) -> None:
    files = package_files(("*",))
    assert len({file.path for file in files}) == len(files) > 5000
    homes = {file.name.split("/")[0] for file in files}
    installed = {
        f"{d.metadata['Name']}-{d.version}"
        for d in importlib.metadata.distributions()
        if d.metadata["Name"] in {"numpy", "torch", "Small-Thing"}
    }
    assert homes >= installed | {f"python-{platform.python_version()}"}


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("nunpy", r"'nunpy' is not installed here. Did you mean 'numpy'\? .*pip install nunpy"),
        ("qqqqqqqq", "not installed here. Install it"),
        ("pyton", "Did you mean 'python'"),
    ],
)
def test_a_package_that_is_not_there(package: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        listing(_config(package), Path())


def test_a_package_without_a_list_of_files(site: Path) -> None:
    (site / "small_thing-1.2+cpu.dist-info/RECORD").unlink()
    with pytest.raises(InputError, match=r"has no list of its files \(RECORD\).*`paths`"):
        listing(_config("small-thing"), site)


def test_docstrings_are_read_where_they_stand_and_nothing_is_executed() -> None:
    found = list(docstrings.docstrings(MODULE.encode(), "small.sub.one"))
    assert [(p.heading, p.body) for p in found] == [
        ("small.sub.one (module)", "About\nthe module."),
        ("small.sub.one.One (class)", "A class."),
        ("small.sub.one.One.two (function)", "A method \\d."),
        ("small.sub.one.One.two.inner (function)", "Inside."),
        ("small.sub.one.three (function)", "In a try."),
        ("small.sub.one.three (function)", "In a handler."),
        ("small.sub.one.three (function)", "Otherwise."),
        ("small.sub.one.four (function)", "In a case."),
        ("small.sub.one.escape (function)", "bad \\d escape"),
    ]
    assert len({p.position for p in found}) == len(found)
    assert found[3].position == "small.sub.one.One.two.inner:13"
    assert found[3].metadata == {"object": "small.sub.one.One.two.inner", "kind": "function",
                                 "line": 13}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("numpy-2.4.6/numpy/linalg/_linalg.py", "numpy.linalg._linalg"),
        ("numpy-2.4.6/numpy/__init__.py", "numpy"),
        ("six-1.17.0/six.py", "six"),
        ("odd-1/__init__.py", "__init__"),
    ],
)
def test_the_module_of_a_file(name: str, module: str) -> None:
    assert docstrings.module_name(name) == module


def test_a_docstring_becomes_a_document_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(MODULE)
    name = "Small-Thing-1.2/small/sub/one.py"
    first = next(read(Portion(file=_file(path, name, "python_docs"))))
    assert first == Document(
        document_id(name, "small.sub.one:1"),
        "small.sub.one (module)\n\nAbout\nthe module.",
        None,
        name,
        '{"object": "small.sub.one", "kind": "module", "line": 1}',
    )


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("# -*- coding: latin-1 -*-\n'''caf\xe9'''".encode("latin-1"), ["m (module)\n\ncafé"]),
        (b"\xef\xbb\xbf'''bom'''", ["m (module)\n\nbom"]),
        (b"'''   \n '''", [""]),
        (b"", []),
        (b"b'''bytes'''", []),
    ],
)
def test_what_python_accepts_is_read(tmp_path: Path, source: bytes, texts: list[str]) -> None:
    (tmp_path / "m.py").write_bytes(source)
    records = list(read(Portion(file=_file(tmp_path / "m.py", "p-1/m.py", "python_docs"))))
    assert [r.text for r in records if isinstance(r, Document)] == texts


@pytest.mark.parametrize(
    ("format_", "content", "error"),
    [
        ("python_docs", b"def f(:", "not valid Python"),
        ("python_docs", b"'''caf\xe9'''", "not valid Python"),
        ("python_docs", b"x = 1\0", "not valid Python"),
        ("python_docs", b"x = " + b"(" * 5000, "not valid Python"),
        ("python_docs", b"'''a\\0b'''", "a NUL character"),
        ("python_docs", b"'''\\ud800'''", "half of a surrogate pair"),
        ("package_metadata", b"Name: caf\xe9\n\nx", "can't decode"),
        ("pydoc_topics", b"topics = 5", "no dict of topics"),
        ("pydoc_topics", b"topics = {'a': f()}", "malformed node"),
    ],
)
def test_what_cannot_be_read_is_a_broken_record(
    tmp_path: Path, format_: str, content: bytes, error: str
) -> None:
    (tmp_path / "m.py").write_bytes(content)
    (record,) = read(Portion(file=_file(tmp_path / "m.py", "p-1/m.py", format_)))
    assert isinstance(record, Reject)
    assert error in record.error
    (record.error + record.text).encode()


def test_the_description_of_a_package() -> None:
    found = docstrings.description(METADATA.encode())
    assert found.text == "Small-Thing 1.2+cpu: A thing.\n\n# Small thing\n\nIt is small: été."
    assert found.metadata == {"name": "Small-Thing", "version": "1.2+cpu", "license": "MIT"}
    old = "Name: x\nVersion: 1\nDescription: First\n        |second\n        |  third\n"
    assert docstrings.description(old.encode()).text == "x 1\n\nFirst\nsecond\n  third"
    assert docstrings.description(b"Name: x\nVersion: 1\n\n").text == ""


def test_the_topics_of_the_language_reference(tmp_path: Path) -> None:
    path = tmp_path / "topics.py"
    path.write_text("# -*- x -*-\ntopics = {'for': '\\nThe for statement\\n',\n 'if': 'If'}\n")
    first, second = read(
        Portion(file=_file(path, "python-3.11/pydoc_data/topics.py", "pydoc_topics"))
    )
    assert isinstance(first, Document)
    assert first.text == "Python: for\n\nThe for statement"
    assert json.loads(first.metadata or "") == {"topic": "for"}
    assert second.doc_id == document_id("python-3.11/pydoc_data/topics.py", "if")


def test_the_topics_of_this_python_are_read() -> None:
    files = listing(_config("python"), Path())
    (topics,) = (file for file in files if file.format == "pydoc_topics")
    records = list(read(Portion(file=topics)))
    assert len(records) > 50
    assert all(isinstance(record, Document) for record in records)
