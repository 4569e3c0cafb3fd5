from pipelines.ledger import Count
from tests.support.made_up_runs import Made, manifest_of
from workflows.summary import funnel, plot, table


def test_the_funnel_has_documents_share_and_megabytes_of_each_rule() -> None:
    dropped = {f"rule_{n}": (10 - n) * 1000 for n in range(7)}
    made = Made("clean", entered=100_000, dropped=dropped)
    lines = funnel([manifest_of(made, {}, "run")]).splitlines()
    assert lines[2].split() == ["rule_0", "10,000", "10.0%", "1.00", "MB", "##"]
    assert lines[-1].split() == ["2", "more", "rules", "9,000", "9.0%", "0.90", "MB", "##"]


def test_copies_that_a_mix_added_are_told() -> None:
    manifest = manifest_of(Made("mix", entered=50), {}, "run")
    added = manifest.ledger.model_copy(
        update={"added": Count(rows=10, bytes=1), "kept": Count(rows=60, bytes=1)}
    )
    lines = funnel([manifest.model_copy(update={"ledger": added})]).splitlines()
    assert lines[2].split() == ["copies", "added", "10"]


def test_a_falling_series_is_drawn_falling() -> None:
    lines = plot([10 - i * 0.1 for i in range(100)], width=20, height=5).splitlines()
    assert lines[0].endswith("|***")
    assert lines[4].endswith(" ***")
    assert lines[0].startswith("   9.800")
    assert lines[-1].split() == ["step", "1", "100"]


def test_one_value_and_a_flat_series_are_drawn() -> None:
    assert "*" in plot([1.0])
    assert plot([2.0] * 7).count("*") == 7


def test_a_table_is_aligned() -> None:
    text = table([{"a": "x", "b": "yy"}, {"a": "long", "b": ""}], ["a", "b"])
    assert text.splitlines() == ["A     B", "x     yy", "long"]
