"""A preview says of a sample what the job would say of it, and shows why."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.filter import FilterConfig
from pipelines.source import SourceConfig
from tests.support.deep_parquet import deep_parquet
from tests.support.documents import write_jsonl
from workflows import preview as module
from workflows.preview import Preview, as_json, as_text, excerpt, preview

CONFIG = FilterConfig(rules=("gopher", "gopher_repetition"), min_language_score=0.1)


@pytest.fixture
def found(tmp_path: Path) -> Preview:
    write_jsonl(tmp_path / "a.jsonl", 12)
    before = sorted(tmp_path.rglob("*"))
    result = preview(SourceConfig(paths=(str(tmp_path),)), CONFIG, 500, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    return result


def test_the_shares_add_up_and_each_example_fails_its_rule(found: Preview) -> None:
    dropped = sum(share.reason for share in found.shares)
    assert found.kept + dropped == found.documents > 10
    assert found.kept
    assert dropped
    assert {one.rule for one in found.examples} == {s.rule for s in found.shares if s.reason}
    for one in found.examples:
        explained = CONFIG.text_rules().explain(one.text)
        finding = next(each for each in explained.findings if each.rule == one.rule)
        assert (finding.failed, finding.value, finding.limit) == (True, one.value, one.limit)


def test_the_page_has_the_table_the_examples_and_the_estimate(found: Preview) -> None:
    text = as_text(found, CONFIG, 2, lambda span: f"<{span}>")
    assert text.startswith(f"PREVIEW  {found.documents} documents of 1 place in 1 file (")
    assert f"kept {found.kept} of {found.documents} documents" in text
    assert all(one.doc_id in text for one in found.examples)
    assert "ESTIMATE" in text
    assert text.endswith("Nothing was written.")
    assert found.sample.text_bytes == pytest.approx(found.sample.read_text_bytes)
    assert as_json(found)["kept"] == found.kept


def test_a_file_that_crashes_its_reader_ends_with_a_sentence(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", 2)
    (tmp_path / "deep.parquet").write_bytes(deep_parquet())
    with pytest.raises(InputError, match=r"crashes what reads it: .*SIGSEGV.*--broken-files"):
        preview(SourceConfig(paths=(str(tmp_path),)), CONFIG, 5, tmp_path)


def test_the_cost_is_told_in_core_hours_where_it_is_some(found: Preview) -> None:
    assert "core-hours" not in as_text(found, CONFIG, 2, str)
    slow = replace(found, megabytes_per_second=found.sample.read_text_bytes / 1e6 / 7.2e6)
    assert "41.7 days on 2 cores (2,000.0 core-hours)" in as_text(slow, CONFIG, 2, str)


def test_an_excerpt_begins_before_what_counts_and_obeys_nothing() -> None:
    text = "word " * 100 + "# here \x1b[31m" + "\nmore " * 100
    shown = excerpt(text, lambda span: f"<{span}>", feature="hash_ratio")
    assert shown.startswith("… ")
    assert "<#> here  [31m⏎more" in shown
    assert "\x1b" not in shown
    assert len(shown) < module._SHOWN + 10
    assert excerpt("short", str.upper, feature="words") == "short"


def test_a_preview_of_real_text_is_made_in_seconds(shared_data: Path) -> None:
    started = os.times()
    source = SourceConfig(paths=(str(shared_data / "corpus/text"),))
    found = preview(source, FilterConfig(rules=("gopher", "fineweb")), 200, Path())
    used = os.times()
    assert found.documents == 200
    assert len(set(found.sample.documents["source"].to_pylist())) >= 10
    assert used.user + used.system - started.user - started.system < 30
