"""A filter's page: its figures are those of the artifact, and no text of a corpus can act in it."""

import itertools
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import features
from filters.rules import Rule
from tests.filters import oracle
from tests.support.documents import prose
from tests.support.runs import load, runner
from workflows.artifact import Artifact
from workflows.errors import UsageError
from workflows.report.distributions import distributions
from workflows.report.facts import SAMPLES, RuleFacts, facts_of
from workflows.report.histogram import Histogram
from workflows.report.marks import MARKS, spans_of
from workflows.report.page import page
from workflows.report.samples import beside, marked

EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
RECIPE = """\
name: evil
store: {store}
stages:
  docs: {{kind: source, config: {{paths: [{data}]}}}}
  text: {{kind: extract, needs: docs}}
  clean:
    kind: filter
    needs: text
    config: {{rules: [gopher, fineweb], min_language_score: 0.1}}
"""


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    home = tmp_path_factory.mktemp("report")
    (home / "data").mkdir()
    rows = [{"text": prose(at), "url": f"https://host{at % 3}.org/{at}"} for at in range(20)]
    rows += [{"text": f"Short {at}. # # # {EVIL}", "url": f"https://{EVIL}/"} for at in range(5)]
    (home / "data" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "evil.yaml").write_text(RECIPE.format(store=home / "store", data=home / "data"))
    recipe = load(home / "evil.yaml")
    result = runner(recipe).run(recipe)
    return next(done.artifact for done in result.stages if done.stage.name == "clean")


def test_figures_are_those_of_the_artifact(filtered: Artifact) -> None:
    facts = facts_of(filtered)
    ledger = filtered.manifest.ledger
    assert all(int(h.counts.sum()) == ledger.entered.rows for n, h in facts.histograms.items()
               if n not in ("language_stop_words",))  # fmt: skip
    short = next(one for one in facts.rules if one.rule.name == "gopher_short_doc")
    assert short.would_drop == 5
    assert {sample.reason for sample in short.outside} == {"gopher_short_doc"}
    assert {sample.limit for sample in short.inside + short.outside} == {50}
    assert {sample.language for sample in short.inside} == {"en"}
    assert len(short.outside) == len(short.inside) == SAMPLES
    assert all(sample.value < 50 for sample in short.outside)
    assert [s.value for s in short.inside] == sorted(s.value for s in short.inside)
    assert sum(kept for kept, _ in facts.hosts.values()) == ledger.kept.rows
    assert facts.words > 20 * 90


def test_a_large_corpus_is_looked_at_in_evenly_spread_shards(
    filtered: Artifact, tmp_path: Path
) -> None:
    data = Path(filtered.folder).parents[2] / "data"
    (tmp_path / "many.yaml").write_text(
        RECIPE.format(store=tmp_path / "store", data=data).replace(
            "needs: docs}", "needs: docs, config: {unit_bytes: 2000}}"
        )
    )
    recipe = load(tmp_path / "many.yaml")
    artifact = runner(recipe).run(recipe).stages[-1].artifact
    shards = [entry.shard for entry in artifact.manifest.files if entry.role == "features"]
    whole, part = facts_of(artifact), facts_of(artifact, most_shards=3)
    entered = artifact.manifest.ledger.entered.rows
    assert len(shards) > 6
    assert (whole.looked_at, whole.is_sample, part.is_sample) == (entered, False, True)
    assert whole.shares == part.shares == facts_of(filtered).shares
    rows = [entry.rows for entry in artifact.manifest.files if entry.role == "features"]
    thirds = [at * len(rows) // 3 for at in range(3)]
    assert part.looked_at == sum(rows[at] for at in thirds) < entered
    assert int(part.histograms["words"].counts.sum()) == part.looked_at
    assert sum(map(sum, part.hosts.values())) == part.looked_at
    assert f"{part.looked_at:,} of the {entered:,} documents" in page(part)
    assert "spread evenly" not in page(whole)


def test_the_page_holds_its_tables_and_no_markup_of_a_document(filtered: Artifact) -> None:
    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.append(tag)
            assert not any(name.startswith("on") for name, _ in attrs)

    text = page(facts_of(filtered))
    tags = Tags()
    tags.feed(text)
    assert not {"script", "img", "iframe", "object", "link", "form"} & set(tags.seen)
    assert {"table", "svg", "details", "mark"} <= set(tags.seen)
    assert "default-src 'none'" in text
    entered = filtered.manifest.ledger.entered.bytes
    assert f'<td class="number">{entered / 4 / 1e6:,.2f}</td>' in text
    assert "Tokens are an estimate, 4 bytes each" in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"https?://(?!host)[^\s<&]*\.(?:js|css)", text)


def test_the_funnel_runs_down_to_what_is_kept_in_the_order_of_the_rules(
    filtered: Artifact,
) -> None:
    facts = facts_of(filtered)
    funnel = page(facts).partition("<h2>Funnel</h2>")[2].partition("<h2>Rules</h2>")[0]
    rows = re.findall(r'<th scope="row">(\w+)</th>(.*?)</tr>', funnel)
    numbers = {name: re.findall(r'"number">([\d,]+)</td>', cells) for name, cells in rows}
    ledger = filtered.manifest.ledger
    order = [one.rule.name for one in facts.rules if one.rule.name in ledger.dropped]
    assert [name for name, _ in rows] == ["entered", *order, "kept"]
    left = ledger.entered.rows
    for name in order:
        left -= ledger.dropped[name].rows
        assert numbers[name] == [f"{ledger.dropped[name].rows:,}", f"{left:,}"]
    assert left == ledger.kept.rows
    assert numbers["kept"][-1] == f"{left:,}"
    assert "rules: gopher, fineweb · languages: all, from 0.1 · words: unicode" in page(facts)


def test_a_browser_runs_nothing_of_it(filtered: Artifact, tmp_path: Path) -> None:
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip(f"no browser: {chromium} is missing (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    path = tmp_path / "report.html"
    path.write_text(page(facts_of(filtered)), encoding="utf-8")
    asked: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert tab.title() == "evil: what clean kept"
        assert tab.locator("svg").count() > 10
        assert tab.get_by_text("Short 0.").first.is_visible()
        browser.close()
    assert asked == [path.as_uri()]


def test_another_kind_has_no_report(filtered: Artifact) -> None:
    other = filtered.model_copy(
        update={"manifest": filtered.manifest.model_copy(update={"kind": "dedup"})}
    )
    with pytest.raises(UsageError, match="name a stage of kind filter"):
        facts_of(other)


@given(st.lists(st.floats(0, 1e9) | st.just(float("nan")), max_size=40), st.booleans())
def test_shards_of_a_histogram_add_up(values: list[float], is_share: bool) -> None:
    whole, parts = Histogram("f", is_share), Histogram("f", is_share)
    whole.add(np.array(values, dtype=np.float64))
    for value in values:
        parts.add(np.array([value]))
    assert (whole.counts == parts.counts).all()
    assert whole.counts.sum() == sum(not math.isnan(value) for value in values)


@given(
    st.sampled_from(["above", "below"]),
    st.integers(0, 2_000) | st.just(math.inf),
    st.lists(st.integers(0, 2_000), min_size=1, max_size=60),
)
def test_what_is_drawn_beyond_a_border_is_what_the_rule_drops(
    drop: Literal["above", "below"], limit: float, values: list[int]
) -> None:
    rule, histogram = Rule("r", "words", drop, limit), Histogram("words", False, is_whole=True)
    numbers = np.array(values, dtype=np.float64)
    histogram.add(numbers)
    border = histogram.place(histogram.border(rule))
    fails = rule.fails(numbers, np.full(len(values), limit))
    for value, fell in zip(values, fails, strict=True):
        is_left = histogram.place(value) < border
        assert fell == (is_left if drop == "below" else not is_left)
    first, last = histogram.window([histogram.border(rule)])
    assert histogram.counts[first:last].sum() == len(values)
    assert not math.isfinite(border) or first <= border <= last


def test_statistics_without_a_rule_are_folded_and_those_that_are_alike_are_told() -> None:
    some, same, limited = (Histogram(name, False, True) for name in ("some", "same", "limited"))
    some.add(np.array([1.0, 5.0]))
    same.add(np.array([7.0, 7.0]))
    limited.add(np.array([1.0, 2e7]))
    rule = RuleFacts(Rule("too_many", "limited", "above", 3), would_drop=1)
    drawn = distributions([same, some, limited], [rule])
    shown, folded = drawn.split("<details>")
    assert "too_many: &gt; 3 drops 1 (50.0%)" in shown
    assert 'class="beyond"' in shown
    assert "10,000,000 or more" in shown
    assert "Statistics that no rule looks at: 1<" in folded
    assert 'class="beyond"' not in folded
    assert drawn.count("<figure>") == 2
    assert "The same for all documents: same 7." in folded


@given(st.sampled_from(sorted(MARKS)), st.text(alphabet="ab .…#\n<>&{\\1-•", max_size=60))
def test_marks_lose_no_character(feature: str, text: str) -> None:
    spans = spans_of(feature, text)
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    plain = re.sub(r"</?mark>", "", marked(feature, text))
    assert plain == marked("no such statistic", text)


@given(st.integers(5, 10), st.lists(st.sampled_from(["ab", "cd", "é", "字"]), max_size=60))
def test_what_is_marked_of_repeated_runs_is_what_the_statistic_counts(
    size: int, words: list[str]
) -> None:
    text = " ".join(words)
    feature = f"repeated_{size}_gram_character_ratio"
    marked_ = "".join(text[start:end] for start, end in spans_of(feature, text))
    assert len("".join(marked_.split())) == oracle.repeats(oracle.words(text), size)


@pytest.mark.parametrize(
    ("feature", "text", "expected"),
    [
        ("marked_line_ratio", "a.\nb. \nc…\nd।\ne?", [".", "।", "?"]),
        ("longest_line", "ab\nabcd\nefgh", ["abcd"]),
        ("longest_line", "a\r\nabcd\r\n", ["abcd"]),
        ("longest_line", "\n\n", []),
        ("mean_word_length", "a tremendously long word", ["tremendously"]),
        ("alphabetic_character_ratio", "a1 b_c --", ["1", "_", "--"]),
        ("generated_marks", "// x\n// Code generated by y", ["Code generated"]),
        ("generated_marks", "plain", []),
        ("xml_declarations", ' <?xml version="1.0"?>', ["<?xml version="]),
        ("c4_fineweb_sentences", "One. Two? v1.2", [".", "?"]),
        ("c4_curly_bracket_lines", "{a menu}\r\nIt says {b} and so on.\nOr {c} too", ["{"]),
        ("c4_lorem_ipsum_lines", "Lorem Ipsum\nHe read lorem ipsum again.", ["lorem ipsum"]),
    ],
)
def test_what_counts_is_marked(feature: str, text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in spans_of(feature, text)] == expected


def test_a_word_is_marked_where_a_mean_is_too_low_because_of_it() -> None:
    text = "an extraordinarily long ox, 字字"
    low = spans_of("mean_word_length", text, is_below=True)
    assert [text[start:end] for start, end in low] == ["an", "ox", "字", "字"]
    high = spans_of("mean_word_length", text)
    assert [text[start:end] for start, end in high] == ["extraordinarily"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Der Hund und die Katze: nicht der Hund, und die See."),
        ("zh", "我们的学校在这里，他们不是学生。"),
        ("vi", "Tôi không biết những người đó là ai và cái này của các bạn"),
        ("en", "That's what they have of it; the Be of to, that and them"),
        ("xx", "no such language of the world"),
    ],
)
def test_the_stop_words_marked_are_those_that_were_counted(language: str, text: str) -> None:
    statistics = features.compute(pa.array([text]), languages=pa.array([language])).to_pylist()[0]
    for feature in ("stop_words", "language_stop_words"):
        spans = spans_of(feature, text, language=language)
        different = {"".join(text[start:end].split()) for start, end in spans}
        assert len(different) == (statistics[feature] or 0)
    assert statistics["language_stop_words"] or language in ("en", "xx")


def test_a_long_text_is_shown_where_it_counts() -> None:
    text = "a" * 9_000 + "<b>#</b>" + "c" * 9_000
    shown = marked("hash_ratio", text)
    assert "aa&lt;b&gt;<mark>#</mark>&lt;/b&gt;cc" in shown
    assert len(shown) < 600
    assert shown.count(" … ") == 2
    assert marked("words", text).startswith("a" * 1_500 + "<span")
    long_mark = marked("longest_line", text)
    assert 1_500 < len(long_mark) < 2_500


@given(st.text(alphabet="a# \n", max_size=4_000), st.sampled_from(["hash_ratio", "longest_line"]))
def test_passages_are_parts_of_the_text_in_order(text: str, feature: str) -> None:
    shown = re.sub(r"</?mark>", "", marked(feature, text))
    at = 0
    for piece in filter(None, shown.split('<span class="quiet"> … </span>')):
        at = text.index(piece, at) + len(piece)


def test_a_value_is_told_from_its_limit() -> None:
    assert beside(0.65004, 0.65) == "0.65004"
    assert beside(0.65, 0.65) == "0.65"
    assert beside(49, 50) == "49"


def test_what_counts_is_the_whole_text_where_nothing_can_be_marked(filtered: Artifact) -> None:
    text = page(facts_of(filtered))
    short, hashes = (
        text[text.index(f"<summary>{rule} ") :].partition("</details>")[0]
        for rule in ("gopher_short_doc", "gopher_too_many_hashes")
    )
    assert "the whole text that counts" in short
    assert re.search(r"words \d+, limit 50 · en · dropped by gopher_short_doc", short)
    assert "the whole text that counts" not in hashes
    assert "<mark>#</mark>" in hashes


@given(st.lists(st.sampled_from(["{", "a b c", ".", "\n", "\r", "...", "javascript"]), max_size=30))
def test_brackets_are_marked_in_as_many_lines_as_were_counted(pieces: list[str]) -> None:
    text = " ".join(pieces)
    for feature in ("c4_curly_bracket_lines", "c4_fineweb_curly_bracket_lines"):
        starts = list(itertools.accumulate(map(len, text.splitlines(keepends=True)), initial=0))
        lines = {sum(at <= start for at in starts) for start, _ in spans_of(feature, text)}
        counted = features.compute(pa.array([text]), names=[feature])[feature][0].as_py()
        assert len(lines) == counted


def test_the_most_frequent_run_is_marked_wherever_it_stands() -> None:
    text = "big cat, é big cat! the big cat"
    spans = spans_of("top_2_gram_character_ratio", text)
    assert [text[start:end] for start, end in spans] == ["big cat"] * 3
    assert spans_of("top_2_gram_character_ratio", "each word once") == []
