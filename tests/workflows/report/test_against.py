"""Two filters compared: every document is counted once, and what flipped says why."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.commands import llada
from tests.support.documents import prose
from tests.support.runs import load, runner
from workflows.artifact import Artifact
from workflows.errors import UsageError
from workflows.report import flips
from workflows.report.against import as_page, as_text
from workflows.report.flips import ABSENT, KEPT, Comparison, Flip, comparison

RECIPE = """\
name: two
store: {store}
stages:
  docs: {{kind: source, config: {{paths: [{data}]}}}}
  text: {{kind: extract, needs: docs}}
  strict:
    kind: filter
    needs: text
    config: {{rules: [gopher], min_language_score: 0.1}}
  loose:
    kind: filter
    needs: text
    config: {{rules: [gopher, fineweb], min_language_score: 0.1, limits: {{gopher_short_doc: 3}}}}
"""
SHORT = (
    "Another short story <b>text number {} which people with much patience have been reading "
    "until evening comes."
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("against")
    (home / "data").mkdir()
    texts = [prose(at) for at in range(20)] + [SHORT.format(at) for at in range(5)]
    texts += [prose(30) + "\n" + prose(30)]
    (home / "data/a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (home / "two.yaml").write_text(RECIPE.format(store=home / "store", data=home / "data"))
    return home


@pytest.fixture(scope="module")
def made(home: Path) -> dict[str, Artifact]:
    recipe = load(home / "two.yaml")
    return {done.stage.name: done.artifact for done in runner(recipe).run(recipe).stages}


@pytest.fixture(scope="module")
def found(made: dict[str, Artifact]) -> Comparison:
    return comparison(made["strict"], made["loose"])


def test_every_document_is_counted_once(found: Comparison) -> None:
    entered = found.now.manifest.ledger.entered.rows
    assert found.same + sum(flip.documents for flip in found.flips) == entered == 26
    ways = {(flip.before, flip.now): flip.documents for flip in found.flips}
    assert ways["gopher_short_doc", KEPT] == 5
    assert ways[KEPT, "char_dup_ratio"] == 1
    kept = found.now.manifest.ledger.kept.rows - found.before.manifest.ledger.kept.rows
    gained = sum(flip.documents for flip in found.flips if flip.now == KEPT)
    lost = sum(flip.documents for flip in found.flips if flip.before == KEPT)
    assert gained - lost == kept
    assert found.flipped == gained + lost
    assert found.flipped + found.reasons + found.same == entered


def test_a_document_that_another_rule_drops_is_not_counted_among_the_same(
    found: Comparison,
) -> None:
    flips = [Flip("a", "b", 3), Flip("a", KEPT, 2), Flip(ABSENT, "b", 4)]
    assert replace(found, flips=flips).reasons == 3
    changes = as_text(replace(found, flips=flips), str)
    assert "2 documents between kept and dropped, 3 dropped by another rule" in changes


def test_a_flip_shows_the_value_that_one_side_did_not_take(found: Comparison) -> None:
    flip = next(one for one in found.flips if one.before == "gopher_short_doc")
    assert len(flip.examples) == 3
    for one in flip.examples:
        assert one.now is None
        assert one.before is not None
        assert (one.before.feature, one.before.limit) == ("words", 50.0)
        assert one.before.value == 18
        assert one.text.startswith("Another short story <b>")


def test_rules_that_moved_or_came_are_told(found: Comparison) -> None:
    moved = {one.name: one for one in found.rules if one.moved}
    assert set(moved) == {
        "gopher_short_doc", "line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio",
    }  # fmt: skip
    text = as_text(found, lambda span: f"[{span}]")
    assert "words <  50 -> 3" in text
    assert "repeated_nonblank_line_character_ratio >  not asked -> 0.01" in text
    assert (
        f"FLIPPED {found.flipped} documents between kept and dropped, {found.reasons} dropped by "
        f"another rule, {found.same} same\n" in text
    )
    kept_bytes = next(line for line in text.splitlines() if line.startswith("kept bytes"))
    assert len(kept_bytes.split()) == len(["kept", "bytes"]) + 3


def test_a_large_join_in_parts_gives_the_same(
    made: dict[str, Artifact], found: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at_once in (5, 1):  # 16 parts, 256 parts
        monkeypatch.setattr(flips, "_AT_ONCE", at_once)
        again = comparison(made["strict"], made["loose"])
        assert (again.same, again.flips) == (found.same, found.flips)


def test_what_only_one_side_has_is_no_flip(made: dict[str, Artifact], home: Path) -> None:
    with (home / "data/a.jsonl").open("a") as stream:
        stream.write(json.dumps({"text": prose(40)}) + "\n")
    recipe = load(home / "two.yaml")
    later = {done.stage.name: done.artifact for done in runner(recipe).run(recipe).stages}
    found = comparison(made["strict"], later["strict"])
    assert [(flip.before, flip.now, flip.documents) for flip in found.flips] == [(ABSENT, KEPT, 1)]
    assert (found.flipped, found.same) == (0, 26)


def test_the_page_escapes_texts_and_another_kind_is_refused(
    made: dict[str, Artifact], found: Comparison
) -> None:
    page = as_page(found)
    assert "Another short story &lt;b&gt;text" in page
    assert "<b>text" not in page
    assert "gopher_short_doc → kept: 5" in page
    with pytest.raises(UsageError, match="made by the kind 'extract'"):
        comparison(made["text"], made["loose"])


def test_the_verb_prints_and_writes_it(made: dict[str, Artifact], home: Path) -> None:
    names = [made[name].folder.name for name in ("loose", "strict")]
    done = llada(
        "report", names[0], "--against", names[1], "--html", "d.html", "--store", "store", cwd=home
    )
    assert "gopher_short_doc -> kept: 5" in done.stdout
    assert names[1][:26] in done.stdout.splitlines()[0]
    assert "Documents that flipped" in (home / "d.html").read_text()
