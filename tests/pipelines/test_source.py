"""A listing is stable, complete, quick to repeat, and refuses with a way out."""

import itertools
import json
import os
import socket
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipelines import source, storage
from pipelines.errors import InputError
from pipelines.executors import InProcess
from pipelines.found_files import format_of
from pipelines.ledger import Count
from pipelines.source import SourceConfig, identity, listing
from pipelines.workspace import Resources, StageOutput, Workspace
from tests.support.trees import sources, tree


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return sources(tmp_path)


def _names(base: Path, *paths: str, **config: object) -> list[str]:
    return [f.name for f in listing(SourceConfig.model_validate({"paths": paths, **config}), base)]


def _run(base: Path, folder: Path, *paths: str) -> StageOutput:
    workspace = Workspace(
        "docs", folder / "source" / "docs", "att", {}, Resources(), InProcess(), base=base
    )
    return source.run(workspace, SourceConfig(paths=paths))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["data"], ["b.jsonl", "deep/a.txt"]),
        (["data/"], ["b.jsonl", "deep/a.txt"]),
        (["data/b.jsonl"], ["b.jsonl"]),
        (["*/*.md"], ["other/c.md"]),
        (["data/*"], ["b.jsonl", "deep/a.txt"]),
        (["data/**/*.txt"], ["deep/a.txt"]),
        (["data/**"], ["b.jsonl", "deep/a.txt"]),
        (["other", "data/deep", "data/deep/a.txt"], ["a.txt", "c.md"]),
        (["data/deep", "data/d*"], ["a.txt"]),
        (["."], ["data/b.jsonl", "data/deep/a.txt", "other/c.md"]),
    ],
)
def test_names_are_relative_to_what_was_configured(
    base: Path, paths: list[str], names: list[str]
) -> None:
    assert _names(base, *paths) == names


def test_a_listing_says_where_what_and_how_large(base: Path) -> None:
    found = listing(SourceConfig(paths=("data",)), base)[1]
    path = base / "data" / "deep" / "a.txt"
    assert found.model_dump() == {
        "name": "deep/a.txt",
        "uri": str(path),
        "format": "text",
        "bytes": 4,
        "xxh3_128": storage.hash_file(path),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", "jsonl"),
        ("a.b.JSONL.GZ", "jsonl"),
        ("a.ndjson.zst", "jsonl"),
        ("c4-train.00000-of-01024.json.gz", "jsonl"),
        ("a.json", None),
        ("a.parquet", "parquet"),
        ("a.parquet.gz", None),
        ("v1.2.txt", "text"),
        ("README.md.gz", "text"),
        ("a.gz", None),
        ("jsonl", None),
        (".txt", None),
    ],
)
def test_formats_by_extension(name: str, expected: str | None) -> None:
    assert format_of(name) == expected


def test_a_forced_format_reads_every_extension(base: Path) -> None:
    found = listing(SourceConfig(paths=("data",), format="text"), base)
    assert {f.name: f.format for f in found} == {
        "b.jsonl": "text",
        "deep/a.txt": "text",
        "picture.png": "text",
    }


def test_the_table_the_ledger_and_what_was_left_out(base: Path, tmp_path: Path) -> None:
    os.mkfifo(base / "data" / "pipe.txt")
    (base / "data" / "dangling.txt").symlink_to("nowhere")
    out = _run(base, tmp_path / "out", "data")
    kept, rejected = (
        pq.read_table(tmp_path / "out" / "source" / "docs" / f.path).to_pylist() for f in out.files
    )
    assert [row["name"] for row in kept] == ["b.jsonl", "deep/a.txt"]
    assert {row["name"]: row["rule"] for row in rejected} == {
        "dangling.txt": "not_a_file",
        "picture.png": "unknown_format",
        "pipe.txt": "not_a_file",
    }
    ledger = out.ledger.balance("source")
    assert ledger.unit == "files"
    assert ledger.kept == Count(rows=2, bytes=7)
    assert ledger.dropped == {
        "not_a_file": Count(rows=2),
        "unknown_format": Count(rows=1, bytes=3),
    }


def test_moving_a_folder_changes_addresses_and_no_digest(base: Path, tmp_path: Path) -> None:
    before = _run(base, tmp_path / "one", "data")
    known = identity(SourceConfig(paths=("data",)), base)
    (base / "data").rename(base / "moved")
    after = _run(base, tmp_path / "two", "moved")
    assert before.files[0].xxh3_128 != after.files[0].xxh3_128
    assert before.files[0].content_hash == after.files[0].content_hash
    moved = identity(SourceConfig(paths=("moved",)), base)
    assert {key for key in known if known[key] != moved[key]} == {"addresses"}


@pytest.mark.parametrize("change", ["content", "name", "more"])
def test_anything_else_changes_the_digest(base: Path, tmp_path: Path, change: str) -> None:
    before = _run(base, tmp_path / "one", "data")
    file = base / "data" / "deep" / "a.txt"
    match change:
        case "content":
            file.write_text("texT")
        case "name":
            file.rename(file.with_name("b.txt"))
        case "more":
            file.with_name("b.txt").write_text("")
    after = _run(base, tmp_path / "two", "data")
    assert before.files[0].content_hash != after.files[0].content_hash


def test_reading_the_same_bytes_another_way_changes_the_content(base: Path) -> None:
    auto, text = (SourceConfig.model_validate({"paths": ["data/b.jsonl"], "format": format_})
                  for format_ in ("auto", "text"))  # fmt: skip
    assert identity(auto, base)["content"] != identity(text, base)["content"]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["data/b.json"], r"'data/b.json' is missing: .* Did you mean 'b.jsonl'\?"),
        (["dota"], r"'dota' is missing: .* Did you mean 'data'\?"),
        (["nosuch"], r"'nosuch' is missing: .* Check the spelling"),
        (["no/such/a.txt"], "relative to where the command runs"),
        (["data/*.csv"], r"'data/\*.csv' matches no file under .*data\. Check the spelling"),
        (["data/picture.png"], r"unknown format; .*\.jsonl.*`format: jsonl`"),
        (["data/*.png"], r"no file to read in data/\*.png: found 1 unknown_format, first 'pic"),
        (["empty"], "no file to read in empty: found an empty folder"),
    ],
)
def test_what_cannot_be_listed_is_named_with_a_remedy(
    base: Path, paths: list[str], said: str
) -> None:
    (base / "empty").mkdir()
    (base / "env.sh").write_text("")
    with pytest.raises(InputError, match=said):
        _names(base, *paths)


def test_two_files_of_one_name_are_refused(base: Path) -> None:
    tree(base, other__b_DOT_jsonl="{}\n")
    with pytest.raises(InputError, match=r"both be called 'b.jsonl'.*Name the folder above both"):
        _names(base, "data/b.jsonl", "other/b.jsonl")
    assert _names(base, "*/b.jsonl") == ["data/b.jsonl", "other/b.jsonl"]


def test_links_between_folders_are_followed_once(base: Path) -> None:
    (base / "data" / "linked").symlink_to(base / "other")
    (base / "data" / "circle").symlink_to(base / "data")
    assert _names(base, "data") == ["b.jsonl", "deep/a.txt", "linked/c.md"]


def test_a_name_that_looks_like_a_pattern_is_a_name(base: Path) -> None:
    (base / "data" / "[1].txt").write_text("x")
    assert _names(base, "data/[1].txt") == ["[1].txt"]


def test_a_socket_is_no_file(base: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        path = base / "s.txt"
        one.bind(os.path.relpath(path))
        with pytest.raises(InputError, match="1 not_a_file"):
            _names(base, "s.txt")


def test_a_saved_dataset_is_what_it_says_it_is(base: Path) -> None:
    files = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    tree(
        base / "saved",
        state_DOT_json=json.dumps(files),
        dataset_info_DOT_json="{}",
        **{"data-00000-of-00001_DOT_arrow": "x", "cache-5f_DOT_arrow": "a map() of long ago"},
    )
    assert _names(base, "saved") == ["data-00000-of-00001.arrow"]
    rules = {
        file.name: file.rule for file in source.survey(SourceConfig(paths=("saved",)), base).dropped
    }
    assert rules["cache-5f.arrow"] == "not_in_dataset"


def test_a_file_name_that_is_no_text_is_refused(base: Path) -> None:
    (base / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    with pytest.raises(InputError, match=r"caf\\udce9.txt' is not UTF-8"):
        _names(base, ".")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "without paths; name files"),
        ({"paths": []}, "without paths"),
        ({"paths": ["a"], "packages": ["numpy"]}, "with `packages`, which only"),
        ({"paths": ["a"], "max_bytes_per_package": 5}, "with `max_bytes_per_package`"),
        ({"paths": ["a", "a"]}, "paths: found 'a' twice"),
        ({"paths": [""]}, "paths: found an empty string"),
        ({"paths": ["ftp://host/x"]}, "scheme 'ftp://'; allowed: s3://, gs://"),
        ({"paths": ["s3://me:word@bucket/x"]}, "found credentials in an address of s3://"),
        ({"paths": ["https://h/x.txt?X-Amz-Signature=f"]}, "found a query in an address"),
        ({"paths": ["https://host"]}, "name a host or bucket, and what lies there"),
        ({"paths": ["hf://squad"]}, "allowed is hf://datasets/OWNER/NAME"),
        ({"format": "installed_packages"}, "without packages; name distributions"),
        ({"format": "installed_packages", "packages": ["*", "numpy"]}, "already means all"),
        ({"format": "installed_packages", "packages": ["numpy"], "paths": ["a"]}, "with paths"),
        (
            {"format": "installed_packages", "packages": ["numpy"], "max_bytes_per_package": 0},
            "greater than or equal to 1",
        ),
        ({"paths": ["a"], "format": "csv"}, "'auto', 'jsonl', 'lines', 'parquet'"),
        ({"path": ["a"]}, "Extra inputs"),
    ],
)
def test_impossible_configs_are_refused(config: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SourceConfig.model_validate(config)


@pytest.mark.parametrize("paths", [*itertools.permutations(["data/b.jsonl", "other", "data/d*"])])
def test_the_order_of_the_paths_does_not_matter(base: Path, paths: tuple[str, ...]) -> None:
    assert _names(base, *paths) == ["b.jsonl", "c.md", "deep/a.txt"]
