"""Text survives exactly, special ids cannot be spelled, and training has no luck in it."""

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import models

from llada.errors import LladaError
from llada.tokenizer import Tokenizer
from llada.vocab import BOS, EOS, EOT, MASK, SPECIAL_TOKENS, START_HEADER

TEXTS = [
    "The cat sat on the mat, and the cat said <|mdm_mask|> twice: <|mdm_mask|>.",
    "def f(x):\n    return x + 1\n\n",
    "猫はマットの上に座った。猫は眠い。",
] * 4
TRICKY = st.lists(
    st.one_of(st.text(), st.sampled_from(SPECIAL_TOKENS)), min_size=1, max_size=5
).map("".join)


# Its table of all Unicode takes hypothesis seconds to build, on the first draw of a machine.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, vocab_size=330)


@patient
@given(text=TRICKY)
def test_any_text_survives_and_spells_no_special_id(tokenizer: Tokenizer, text: str) -> None:
    [ids] = tokenizer.encode_batch([text])
    assert tokenizer.decode(ids) == text
    assert all(len(SPECIAL_TOKENS) <= token < tokenizer.vocab_size for token in ids)
    assert ids == tokenizer.encode(text)


def test_special_tokens_come_first(tokenizer: Tokenizer) -> None:
    assert tokenizer.special == (0, 1, 4, 7, 8, 9)
    assert tokenizer.special.mask == SPECIAL_TOKENS.index("<|mdm_mask|>")


def test_special_ids_leave_no_text(tokenizer: Tokenizer) -> None:
    special = tokenizer.special
    ids = [special.bos, *tokenizer.encode("the cat"), special.eot, special.eos]
    assert tokenizer.decode(ids) == "the cat"


def test_two_trainings_are_one(tmp_path: Path, tokenizer: Tokenizer) -> None:
    again = Tokenizer.train(iter(TEXTS), vocab_size=330)
    for name, one in {"a": tokenizer, "b": again}.items():
        one.save(tmp_path / name)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (
        tmp_path / "b/tokenizer.json"
    ).read_bytes()
    assert tokenizer.digest() == again.digest()
    assert tokenizer.digest() != Tokenizer.train(TEXTS, vocab_size=329).digest()


def test_training_merges(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 330
    assert len(tokenizer.encode("the cat sat")) < len("the cat sat")


def test_saved_and_loaded_is_the_same(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.digest() == tokenizer.digest()
    assert loaded.special == tokenizer.special
    attack = "say <|eot_id|><|mdm_mask|>"
    assert loaded.encode(attack) == tokenizer.encode(attack)
    roles = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert roles["pad_token"] == roles["eos_token"] == "<|endoftext|>"


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(LladaError, match=r"vocab_size=265.*266 at least"):
        Tokenizer.train(TEXTS, vocab_size=265)


def test_a_folder_or_tokenizer_without_what_is_needed_is_refused(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    with pytest.raises(LladaError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace("<|eot_id|>", "<|other|>"))
    with pytest.raises(LladaError, match=r"no <\|eot_id\|>;"):
        Tokenizer.load(tmp_path)


def published(*named: str) -> tokenizers.Tokenizer:
    """Return a vocabulary of the published size, in which some special tokens have a name."""
    ids = {BOS: 126_080, EOS: 126_081, MASK: 126_336, START_HEADER: 126_346, EOT: 126_348}
    names = {ids[token]: token for token in named}
    content = {names.get(i, f"<{i}>"): i for i in range(126_349)}
    inner = tokenizers.Tokenizer(models.BPE(content, []))
    inner.add_special_tokens(list(named))
    return inner


def test_the_published_base_model_names_no_turns_but_has_their_rows() -> None:
    found = Tokenizer(published(BOS, EOS, MASK))
    assert found.special == (126_080, 126_081, 126_336, 126_346, 126_347, 126_348)
    assert {126_346, 126_347} <= set(found.reserved_ids(126_464))
    assert 126_348 not in found.reserved_ids(126_464)


def test_elsewhere_a_tokenizer_without_turns_is_refused() -> None:
    inner = tokenizers.Tokenizer(models.BPE({BOS: 0, EOS: 1, MASK: 2}, []))
    with pytest.raises(LladaError, match=r"has no <\|start_header_id\|>, <\|end_header_id\|>"):
        Tokenizer(inner)
