"""Buckets: who is paired, that it stays linear, and that order means nothing."""

import random
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from filters.dedup import Sketches, exact_pairs, near_pairs, repeated

rows_of_buckets = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 3)), max_size=60
)
"""(hash, tag, length) a row."""


def sketches(rows: list[tuple[int, int, int]]) -> Sketches:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    address = np.arange(len(rows))
    key = (address.astype(np.uint64) * np.uint64(7919)) % np.uint64(1009)
    return Sketches(
        table[:, 0].astype(np.uint64), table[:, 1].astype(np.uint64), address, table[:, 2], key
    )


def as_set(pairs: tuple[np.ndarray, np.ndarray]) -> set[tuple[int, int]]:
    return set(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True))


@given(rows_of_buckets)
def test_copies_are_stars(rows: list[tuple[int, int, int]]) -> None:
    pairs = as_set(exact_pairs(sketches(rows)))
    groups: dict[tuple[int, int], set[int]] = {}
    for at, (hashed, tag, _) in enumerate(rows):
        groups.setdefault((hashed, tag), set()).add(at)
    assert len(pairs) == sum(len(group) - 1 for group in groups.values())
    for center, other in pairs:
        assert rows[center][:2] == rows[other][:2]
    assert len({center for center, _ in pairs}) == sum(len(g) > 1 for g in groups.values())


@given(rows_of_buckets)
def test_every_two_texts_of_a_small_bucket_are_a_pair(rows: list[tuple[int, int, int]]) -> None:
    pairs = as_set(near_pairs(sketches(rows)))
    for hashed in {row[0] for row in rows}:
        texts = {row[1] for row in rows if row[0] == hashed}
        found = {frozenset((rows[a][1], rows[b][1])) for a, b in pairs if rows[a][0] == hashed}
        if len(texts) <= 16:
            assert found == {frozenset(two) for two in combinations(texts, 2)}
        else:
            assert len(texts) - 1 <= len(found) <= 5 * len(texts)
    assert all(rows[a][2] >= rows[b][2] for a, b in pairs)


@given(rows_of_buckets, st.randoms())
def test_order_means_nothing(rows: list[tuple[int, int, int]], rng: random.Random) -> None:
    straight = sketches(rows)
    order = np.array(rng.sample(range(len(rows)), len(rows)), dtype=np.int64)
    shuffled = straight.rows(order)
    assert as_set(near_pairs(straight)) == as_set(near_pairs(shuffled))
    assert as_set(exact_pairs(straight)) == as_set(exact_pairs(shuffled))


def test_a_bucket_of_a_hundred_thousand_is_linear() -> None:
    count = 100_000
    address, ones = np.arange(count), np.ones(count, dtype=np.uint64)
    same = Sketches(ones, ones, address, address, address.astype(np.uint64))
    assert len(exact_pairs(same)[0]) == count - 1
    assert len(near_pairs(same)[0]) == 0
    different = same._replace(tag=address.astype(np.uint64))
    assert count - 1 <= len(near_pairs(different)[0]) <= 5 * count


@given(st.lists(st.integers(0, 20), max_size=30))
def test_repeated_are_those_that_stand_more_than_once(hashes: list[int]) -> None:
    found = repeated(np.array(hashes, dtype=np.uint64)).tolist()
    assert found == [hashes.count(each) > 1 for each in hashes]
