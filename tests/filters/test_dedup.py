import random
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pytest
import regex
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from filters.dedup import MinHash, UnionFind, exact_keys
from filters.errors import FilterError
from filters.folding import fold
from tests.filters import oracle
from tests.filters.texts import PROSE, any_text, crafted_text

VOCABULARY = sorted(set(PROSE.lower().replace(",", "").replace(".", "").split()))


def shingle_set(text: str, size: int = 5) -> set[tuple[str, ...]] | set[str]:
    """The normalised shingles, slow and plain."""
    words = [normalised(word) for word in oracle.words(text)]
    words = [word for word in words if word]
    if len(words) < size:
        return {text}
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}


def normalised(word: str) -> str:
    kept = (
        character
        for character in word
        if oracle.word_class(character) in "wsk"
        or (regex.match(r"\p{M}", character) and not "\u0300" <= character <= "\u036f")
    )
    zeros = ("0" if character.isdecimal() else fold(character) for character in kept)
    return regex.sub("0+", "0", "".join(zeros))


def near_copy(words: list[str], share: float, rng: random.Random) -> str:
    """A copy with this share of the words replaced."""
    changed = [rng.choice(VOCABULARY) + "x" if rng.random() < share else word for word in words]
    return " ".join(changed)


@given(crafted_text | any_text, crafted_text | any_text)
def test_jaccard_is_that_of_the_sets_of_normalised_shingles(a: str, b: str) -> None:
    sets = shingle_set(a, 2), shingle_set(b, 2)
    expected = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    assert MinHash(shingle=2).jaccard(a, b) == expected


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("The Café costs 12,50 at most!", "the cafe costs 7.3 — at most", True),
        ("Ⅳ ЙОД Ärger one two three", "ⅳ йод arger one two three", True),
        ("ガギグゲゴ が ぎ ぐ げ ご", "カキクケコ か き く け こ", False),
        ("漢字簡體轉換測試", "汉字简体转换测试", False),
        ("Chapter 1", "Chapter 2", False),
        ("?!", "!?", False),
        ("", "", True),
    ],
)
def test_normalisation(a: str, b: str, same: bool) -> None:
    assert (MinHash().jaccard(a, b) == 1) is same


@given(st.lists(any_text | crafted_text, max_size=5))
def test_exact_keys_are_equal_when_texts_are(texts: list[str]) -> None:
    keys = exact_keys(pa.array(texts, pa.large_string())).to_pylist()
    assert keys == [xxhash.xxh3_128_digest(text.encode()) for text in texts]


def test_traditional_and_simplified_are_no_exact_duplicates() -> None:
    assert len(set(exact_keys(pa.array(["漢語", "汉语"])).to_pylist())) == 2


@given(st.lists(any_text | crafted_text, min_size=1, max_size=6), st.randoms())
def test_a_signature_is_a_function_of_its_text_alone(texts: list[str], rng: random.Random) -> None:
    minhash = MinHash()
    order = list(range(len(texts)))
    rng.shuffle(order)
    straight = minhash.signatures(pa.array(texts, pa.large_string()))
    shuffled = minhash.signatures(pa.array([texts[at] for at in order], pa.large_string()))
    assert straight.shape == (len(texts), 112)
    assert straight.dtype == np.uint64
    assert (straight[order] == shuffled).all()


def test_signatures_estimate_the_similarity() -> None:
    rng = random.Random(5)
    minhash = MinHash(bands=128, rows=8)
    errors = []
    for share in (0.01, 0.03, 0.06, 0.12, 0.3):
        words = rng.choices(VOCABULARY, k=400)
        a, b = " ".join(words), near_copy(words, share, rng)
        signatures = minhash.signatures(pa.array([a, b]))
        errors.append((signatures[0] == signatures[1]).mean() - minhash.jaccard(a, b))
    # 1,024 functions: standard error at most 0.016
    assert max(map(abs, errors)) < 0.05
    assert abs(np.mean(errors)) < 0.03


def test_bands_find_near_copies_as_often_as_the_curve_says_and_no_strangers() -> None:
    rng = random.Random(7)
    minhash = MinHash()
    texts, similarities = [], []
    for _ in range(150):
        words = rng.choices(VOCABULARY, k=200)
        texts += [" ".join(words), near_copy(words, 0.03, rng)]
        similarities.append(minhash.jaccard(*texts[-2:]))
    hashes = minhash.band_hashes(minhash.signatures(pa.array(texts)))
    found = sum((hashes[at] == hashes[at + 1]).any() for at in range(0, 300, 2))
    expected = sum(map(minhash.match_probability, similarities))
    assert abs(found - expected) < 20
    strangers = sum((hashes[a] == hashes[b]).any() for a, b in combinations(range(0, 300, 2), 2))
    assert strangers == 0


def test_the_curve_is_the_published_one() -> None:
    curve = [round(MinHash().match_probability(s), 3) for s in (0, 0.7, 0.75, 0.8, 0.85, 1)]
    assert curve == [0, 0.565, 0.772, 0.924, 0.988, 1]


edges = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20)


@given(edges, st.randoms())
def test_clusters_do_not_depend_on_order(pairs: list[tuple[int, int]], rng: random.Random) -> None:
    shuffled = [pair[:: rng.choice([1, -1])] for pair in pairs]
    rng.shuffle(shuffled)
    assert joined(pairs) == joined(shuffled) == joined(pairs + shuffled)


@given(edges)
def test_clusters_are_connected_components(pairs: list[tuple[int, int]]) -> None:
    clusters = joined(pairs)
    members_of_all = [member for members in clusters.values() for member in members]
    assert sorted(members_of_all) == sorted({member for pair in pairs for member in pair})
    for name, members in clusters.items():
        assert name == members[0] == min(members)
        inside = [pair for pair in pairs if pair[0] in members]
        assert all(b in members for _, b in inside)
        assert len(inside) >= len(members) - 1


def joined(pairs: list[tuple[int, int]]) -> dict[int, list[int]]:
    unions: UnionFind[int] = UnionFind()
    for a, b in pairs:
        unions.union(a, b)
    return unions.clusters()


def test_a_long_chain_of_ids_is_one_cluster() -> None:
    names = [f"doc-{at:06}" for at in range(50_000)]
    unions: UnionFind[str] = UnionFind()
    for a, b in reversed(list(pairwise(names))):
        unions.union(a, b)
    assert unions.find(names[-1]) == names[0]


def test_settings_that_cannot_be_are_errors() -> None:
    with pytest.raises(FilterError, match="MinHash rows is 0; allowed: 1 or more"):
        MinHash(rows=0)
    with pytest.raises(FilterError, match=r"shape \(2, 3\); allowed: \[N, 112\]"):
        MinHash().band_hashes(np.zeros((2, 3), dtype=np.uint64))
