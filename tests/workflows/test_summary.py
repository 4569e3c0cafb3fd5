from workflows.summary import plot, table


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
