import random
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
import regex
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from filters.dedup import MinHash, bands_for, draw_curve, exact_keys, stars
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
    assert straight.dtype == np.uint32
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


def plain_components(pairs: list[tuple[int, int]]) -> dict[int, int]:
    """Connected components by repeated relabelling, slow and plain."""
    label = {node: node for pair in pairs for node in pair}
    for _ in label:
        for a, b in pairs:
            label[a] = label[b] = min(label[a], label[b])
    return label


def joined(pairs: list[tuple[int, int]]) -> dict[int, int]:
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    nodes, roots = stars(columns[:, 0], columns[:, 1])
    return dict(zip(nodes.tolist(), roots.tolist(), strict=True))


@given(edges)
def test_stars_are_connected_components(pairs: list[tuple[int, int]]) -> None:
    assert joined(pairs) == plain_components(pairs)


@given(edges, edges, st.randoms())
def test_stars_of_parts_put_together_are_those_of_the_whole(
    some: list[tuple[int, int]], others: list[tuple[int, int]], rng: random.Random
) -> None:
    together = [*joined(some).items(), *joined(others).items()]
    rng.shuffle(together)
    assert joined(together) == joined(some + others)


def test_a_long_chain_is_one_cluster_and_takes_no_time() -> None:
    chain = np.random.default_rng(1).permutation(1_000_000)
    left, right = np.minimum(chain, chain + 1), np.maximum(chain, chain + 1)
    _, roots = stars(left, right)
    assert not roots.any()


def test_settings_that_cannot_be_are_errors() -> None:
    with pytest.raises(FilterError, match="MinHash rows is 0; allowed: 1 or more"):
        MinHash(rows=0)
    with pytest.raises(FilterError, match=r"shape \(2, 3\); allowed: \[N, 112\]"):
        MinHash().band_hashes(np.zeros((2, 3), dtype=np.uint32))
    with pytest.raises(FilterError, match="allowed: words, characters"):
        MinHash(shingle_of="lines")  # type: ignore[arg-type]
    with pytest.raises(FilterError, match="a threshold between 0 and 1"):
        bands_for(1.0, 112)


@given(crafted_text | any_text, crafted_text | any_text)
def test_containment_is_that_of_the_smaller_set(a: str, b: str) -> None:
    sets = shingle_set(a, 2), shingle_set(b, 2)
    expected = len(sets[0] & sets[1]) / min(map(len, sets))
    assert MinHash(shingle=2).containment(a, b) == expected


@given(crafted_text | any_text, crafted_text | any_text)
def test_shingles_of_characters_run_over_words_and_one_space(a: str, b: str) -> None:
    def characters(text: str) -> set[str]:
        words = filter(None, map(normalised, oracle.words(text)))
        line = " ".join(words)
        grams = {line[at : at + 4] for at in range(len(line) - 3)}
        return grams or {"short " + text}

    sets = characters(a), characters(b)
    family = MinHash(shingle=4, shingle_of="characters")
    assert family.jaccard(a, b) == len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_chosen_bands_err_least(threshold: float) -> None:
    """Against the areas added up one by one, over every choice of 24 permutations."""

    def error(bands: int, rows: int) -> float:
        total = 0.0
        for step in range(1000):
            similarity = (step + 0.5) / 1000
            found = 1 - (1 - similarity**rows) ** bands
            total += 0.8 * (1 - found) if similarity >= threshold else 0.2 * found
        return total / 1000

    choices = [(b, r) for r in range(1, 25) for b in range(1, 24 // r + 1)]
    chosen = error(*bands_for(threshold, 24))
    assert chosen == pytest.approx(min(error(*choice) for choice in choices))


def test_the_curve_can_be_printed() -> None:
    drawn = draw_curve(14, 8, 0.8).splitlines()
    assert drawn[0] == "14 bands x 8 rows = 112 permutations"
    assert drawn[16].startswith("0.80  0.924 ####")
    assert drawn[16].endswith("<- threshold 0.8")
    assert sum("threshold" in line for line in drawn) == 1
