"""Rule sets from YAML: read as written, and refused where a rule makes no sense, with the line."""

from pathlib import Path

import pyarrow as pa
import pytest

from filters import RuleSet
from filters.errors import FilterError
from tests.filters.texts import PROSE

GOOD = """\
name: manuals
include: [gopher]
limits: {gopher_short_doc: 20}
rules:
  - {name: many_digits, feature: digit_character_ratio, above: 0.3}
  - {name: short_lines, feature: mean_line_length, below: 4}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def test_published_and_own_rules_judge_in_the_order_written(tmp_path: Path) -> None:
    rules = RuleSet.from_file(write(tmp_path, GOOD))
    assert rules.name == "manuals"
    assert [rule.name for rule in rules.rules][-2:] == ["many_digits", "short_lines"]
    documents = pa.table({"doc_id": ["a", "b"], "text": [PROSE, PROSE + " 0123456789" * 60]})
    kept, dropped = rules.judge(documents)
    assert kept["doc_id"].to_pylist() == ["a"]
    (row,) = dropped.to_pylist()
    assert row["failed_rules"] == ["gopher_below_alpha_threshold", "many_digits"] or (
        row["failed_rules"] == ["many_digits"]
    )
    assert row["failed_limits"][-1] == 0.3
    assert row["failed_values"][-1] > 0.3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules:\n  - {name: a, feature: digit_ratio, above: 1}", r":2: .*did you mean 'digit_ch"),
        ("name: x\nrule: []", r":2: rule: unknown key 'rule'.*did you mean 'rules'"),
        ("rules:\n- {name: a, feature: words, over: 3}", r":2: .*unknown key 'over'"),
        ("rules:\n- {name: a, feature: words}", "neither of `above` and `below`"),
        ("rules:\n- {name: a, feature: words, above: 1, below: 2}", "both of `above` and `below`"),
        ("rules:\n- {name: a, feature: words, below: 0}", "never fires: words lies between 0 and"),
        ("rules:\n- {name: a, feature: language_score, below: 1.5}", "always fires"),
        ("rules:\n- {name: a, feature: digit_character_ratio, above: 1}", "never fires"),
        ("rules:\n- {name: a b, feature: words, above: 9}", r":2: rules.0.name: .*'a b'"),
        ("rules:\n- {name: a, feature: words, above: many}", r"above.*number.*'many'"),
        ("include: [gofer]", "unknown rule set 'gofer'.*did you mean 'gopher'"),
        ("include: [gopher]\nlimits: {gopher_short: 3}", "did you mean 'gopher_short_doc'"),
        ("include: [gopher]\nlimits: {gopher_short_doc: -5}", "never fires: .*infinite one to sw"),
        ("include: [gopher]\nlimits: {gopher_below_alpha_threshold: 1.5}", "always fires"),
        ("include: [gopher]\nlimits: {gopher_long_doc: -1}", "always fires: words lies between"),
        ("", "found an empty file; allowed"),
        ("words: spaces", "unknown word definition 'spaces'"),
        ("include: [gopher]\nrules: [{name: gopher_short_doc, feature: words, below: 9}]", "twice"),
        ("- a\n- b", "found list; allowed: a mapping with some of name, words"),
        ("rules: [", "not YAML"),
        ("include: [fineweb2/xx_Latn]", "unknown language of fineweb2 'xx_Latn'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_file_and_place(
    tmp_path: Path, text: str, said: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FilterError, match=f"(?s){path}.*{said}"):
        RuleSet.from_file(path)


@pytest.mark.parametrize("limit", ["0", "-.inf", "1"])
def test_a_rule_may_be_switched_off_and_set_to_what_can_be(tmp_path: Path, limit: str) -> None:
    path = write(tmp_path, f"include: [gopher]\nlimits: {{gopher_enough_stop_words: {limit}}}")
    text = "no such thing"
    fails = RuleSet.from_file(path).explain(text).findings
    stop = next(one for one in fails if one.rule == "gopher_enough_stop_words")
    assert stop.failed == (limit == "1")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FilterError, match=r"none\.yaml: No such file"):
        RuleSet.from_file(tmp_path / "none.yaml")
