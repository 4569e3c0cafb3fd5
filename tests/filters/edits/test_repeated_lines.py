from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.edits import RepeatedLineRemoval, RepeatedLines
from filters.edits.edited import Edited
from filters.errors import FilterError
from filters.hosts import host_of

MENU = "Home, shop, about us"


def table(*documents: tuple[str | None, str]) -> pa.Table:
    return pa.table(
        {
            "text": pa.array([text for _, text in documents], pa.large_string()),
            "url": pa.array([url for url, _ in documents], pa.string()),
        }
    )


def apply(documents: pa.Table, **settings: int) -> Edited:
    config = RepeatedLines.model_validate({"min_documents": 2, **settings})
    keys, counts = np.unique(config.keys(documents), return_counts=True)
    known = dict(zip(keys.tolist(), counts.tolist(), strict=True))
    return RepeatedLineRemoval(
        config, lambda wanted: np.array([known[key] for key in wanted.tolist()], dtype=np.int64)
    ).apply(documents)


def test_a_line_of_many_documents_of_a_site_goes_from_all_of_them() -> None:
    documents = table(
        ("https://a.org/1", f"{MENU}\nThe river is high.\n"),
        ("http://A.org:80/2", f"It rains again.\n  {MENU}\t\r\nIt rains again.\n{MENU}"),
        ("https://b.org/1", MENU),
        (None, MENU),
        (None, MENU),
    )
    edited = apply(documents)
    kept = ["The river is high.\n", "It rains again.\nIt rains again.\n", MENU, MENU, MENU]
    assert edited.texts.to_pylist() == kept
    first, second = edited.changes.to_pylist()
    assert (first["row"], first["kind"], first["count"], first["removed"]) == (
        0,
        "repeated_line",
        1,
        len(MENU) + 1,
    )
    assert second["count"] == 2
    assert second["lines"] == [{"text": MENU, "documents": 2}] * 2


def test_short_lines_and_rare_ones_stay() -> None:
    documents = table(*(("https://a.org", f"Yes.\n{MENU}\nOnly here: {n}.") for n in range(3)))
    assert apply(documents, min_documents=4).changes.num_rows == 0
    edited = apply(documents, min_documents=3)
    assert edited.texts[2].as_py() == "Yes.\nOnly here: 2."


def test_documents_without_a_column_url_are_an_error() -> None:
    with pytest.raises(FilterError, match="no column `url`"):
        RepeatedLines().keys(pa.table({"text": ["a"]}))


_LINES = st.sampled_from(["a", "bb", "  bb ", "ccc", "é", "", "\r"])
_DOCUMENT = st.tuples(
    st.sampled_from([None, "https://a.org/x", "https://b.org"]),
    st.lists(_LINES, max_size=5).map("\n".join),
)


@given(st.lists(_DOCUMENT, max_size=8), st.integers(2, 3), st.integers(1, 3))
def test_lines_are_those_a_plain_count_finds(
    documents: list[tuple[str | None, str]], documents_least: int, least: int
) -> None:
    counts = Counter(
        (host_of(url), line)
        for url, text in documents
        for line in {raw.strip() for raw in text.splitlines()}
        if url and len(line) >= least
    )

    def stays(url: str | None, line: str) -> bool:
        return counts[host_of(url), line.strip()] < documents_least

    expected = [
        "".join(line for line in text.splitlines(keepends=True) if stays(url, line))
        for url, text in documents
    ]
    edited = apply(table(*documents), min_documents=documents_least, min_characters=least)
    assert edited.texts.to_pylist() == expected
    sizes = [len(text.encode()) for _, text in documents]
    for change in edited.changes.to_pylist():
        sizes[change["row"]] -= change["removed"]
    assert sizes == [len(text.encode()) for text in expected]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Sub.Example.org:8080/a?b", "sub.example.org"),
        ("example.org./x", "example.org"),
        ("https://user:word@example.org", "example.org"),
        ("http://bücher.de/", "xn--bcher-kva.de"),
        ("http://[::1]/", "::1"),
        ("http://[broken", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_host_of_a_url(url: str | None, host: str) -> None:
    assert host_of(url) == host
