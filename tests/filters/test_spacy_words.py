"""`words="spacy"`: the tokens of spaCy's English tokenizer, whatever was read before, in bounds."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import RuleSet, features
from filters.errors import FilterError
from filters.kernels.chunks import LONGEST_CHUNK
from filters.text import TextBatch
from tests.filters import oracle
from tests.filters.texts import PROSE, any_text, crafted_lines, crafted_text

spacy = pytest.importorskip("spacy", reason="the extra `spacy` is not installed")

from filters import spacy_words  # noqa: E402

ENGLISH = spacy.blank("en")
SENTENCES = (
    "I don't think we've got $3.50 (or 4,000 euros) -- do you?",
    'He said "well-known e.g. U.S. firms, etc." and left...',
    "Mail a.b@example.org, see https://example.org/a?b=c#d; 10km/h at 5p.m. :-) 8)",
    "naïve café’s “quotes” — d'être l'eau 日本語 слово 🙂🙂",
    "\n\n  tabs\tand\r\nlines  \n",
    "cannot gonna won't ain't I'm you're o'clock 'tis",
)


def tokens_of_spacy(text: str) -> list[str]:
    """spaCy's tokens with its order-dependent cache out of the way, stripped, none blank."""
    fresh = spacy.blank("en").tokenizer
    return [token.text.strip() for token in fresh(text) if token.text.strip()]


def tokens_of_ours(texts: list[str]) -> list[list[str]]:
    batch = TextBatch.of(pa.array(texts, pa.large_string()))
    spans = spacy_words.spacy_words().spans(batch)
    content = batch.data.tobytes()
    words = [
        content[start:stop].decode()
        for start, stop in zip(spans.starts.tolist(), spans.stops.tolist(), strict=True)
    ]
    firsts = spans.firsts.tolist()
    return [words[firsts[at] : firsts[at + 1]] for at in range(len(texts))]


@pytest.mark.parametrize("text", SENTENCES)
def test_words_are_the_tokens_of_spacy(text: str) -> None:
    ours = tokens_of_ours([text])[0]
    assert "".join(ours) == "".join(text.split())
    assert ours == [word for chunk in text.split() for word in tokens_of_spacy(chunk)]


def test_real_english_has_spacys_tokens() -> None:
    text = " ".join((PROSE, *SENTENCES[:2])) * 3
    assert tokens_of_ours([text])[0] == tokens_of_spacy(text)


@given(st.lists(st.text(max_size=60), max_size=6))
def test_every_character_is_in_one_word_of_its_own_chunk(texts: list[str]) -> None:
    for text, words in zip(texts, tokens_of_ours(texts), strict=True):
        assert "".join(words) == "".join(text.split())
        left = words
        for chunk in text.split():
            size = 0
            taken = 0
            while size < len(chunk):
                size += len(left[taken])
                taken += 1
            assert size == len(chunk), "a word reaches over white space"
            left = left[taken:]


@given(st.lists(any_text | crafted_text | crafted_lines | st.sampled_from(SENTENCES), max_size=4))
def test_statistics_of_these_words_equal_the_oracle(texts: list[str]) -> None:
    found = features.compute(pa.array(texts, pa.large_string()), "spacy").to_pylist()
    for row, text, words in zip(found, texts, tokens_of_ours(texts), strict=True):
        assert row == {**oracle.statistics(text, tokens=words), "chunk_cuts": row["chunk_cuts"]}


def test_words_do_not_depend_on_what_was_read_before() -> None:
    first = spacy_words.SpacyWords()
    second = spacy_words.SpacyWords(most_chunks=0)  # forgets between lessons
    batch = TextBatch.of(pa.array([*SENTENCES, *SENTENCES[::-1]], pa.large_string()))
    for part in batch.parts(100):
        first.spans(part)
    for field in range(3):
        assert (first.spans(batch)[field] == second.spans(batch)[field]).all()


def test_an_overlong_chunk_is_read_in_pieces_and_counted() -> None:
    text = "(" * (3 * LONGEST_CHUNK) + " end"
    statistics = features.compute(pa.array([text, PROSE]), "spacy")
    assert statistics["chunk_cuts"].to_pylist() == [2, 0]
    assert statistics["tokens"].to_pylist()[0] == 3 * LONGEST_CHUNK + 1


def test_a_rule_set_judges_by_its_words() -> None:
    dashes = PROSE.replace(" ", "-") + " the and of to"
    by_unicode = RuleSet.named("gopher").explain(dashes).statistics["tokens"]
    by_spacy = RuleSet.named("gopher", words="spacy").explain(dashes).statistics["tokens"]
    assert by_unicode != 0
    assert by_spacy != 0
    assert RuleSet.named("gopher", words="spacy").explain(PROSE).kept


def test_without_spacy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FilterError, match=r"pip install 'spacy>=3.8,<4'.*words='unicode'"):
        RuleSet.named("gopher", words="spacy")
