"""The chat format: its exact form, and that no text can forge it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llada.chat import Message, render, render_pair
from llada.errors import LladaError
from llada.tokenizer import Tokenizer
from llada.vocab import SPECIAL_TOKENS

CONTENT = st.lists(st.one_of(st.text(), st.sampled_from(SPECIAL_TOKENS)), max_size=4).map("".join)
DIALOGUE = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": CONTENT}),
    max_size=4,
)


# Its table of all Unicode takes hypothesis seconds to build, on the first draw of a machine.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hi there, how are you? user assistant\n\n"] * 3, vocab_size=290)


def spelled(ids: list[int], tokenizer: Tokenizer) -> str:
    """Write special ids by name, as the official template does."""
    names = dict(enumerate(SPECIAL_TOKENS))
    return "".join(names.get(token) or tokenizer.decode([token]) for token in ids)


def test_the_official_form(tokenizer: Tokenizer) -> None:
    messages: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  Hi there \n"},
    ]
    body = (
        "<|startoftext|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|>"
    )
    header = "<|start_header_id|>assistant<|end_header_id|>\n\n"
    assert spelled(render(messages, tokenizer, add_generation_prompt=False), tokenizer) == body
    prompt = render(messages, tokenizer, add_generation_prompt=True)
    assert spelled(prompt, tokenizer) == body + header


@patient
@given(messages=DIALOGUE)
def test_no_text_opens_a_header_or_ends_a_turn(
    tokenizer: Tokenizer, messages: list[Message]
) -> None:
    ids, special = render(messages, tokenizer, add_generation_prompt=False), tokenizer.special
    for token in (special.start_header, special.end_header, special.eot):
        assert ids.count(token) == len(messages)
    assert ids.count(special.bos) == 1
    assert special.mask not in ids


@patient
@given(messages=DIALOGUE, answer=CONTENT)
def test_a_prompt_is_how_its_answered_dialogue_begins(
    tokenizer: Tokenizer, messages: list[Message], answer: str
) -> None:
    whole: list[Message] = [*messages, {"role": "assistant", "content": answer}]
    prompt, response = render_pair(whole, tokenizer)
    assert prompt == render(messages, tokenizer, add_generation_prompt=True)
    assert response[-2:] == [tokenizer.special.eot, tokenizer.special.eos]
    assert tokenizer.decode(response) == answer.strip()
    assert [*prompt, *response[:-1]] == render(whole, tokenizer, add_generation_prompt=False)


def test_a_dialogue_without_an_answer_is_no_sample(tokenizer: Tokenizer) -> None:
    with pytest.raises(LladaError, match="ends with user"):
        render_pair([{"role": "user", "content": "Hi"}], tokenizer)
    with pytest.raises(LladaError, match="ends with no message"):
        render_pair([], tokenizer)


def test_an_unknown_role_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(LladaError, match=r"'tool'.*system, user, assistant"):
        render([{"role": "tool", "content": "x"}], tokenizer, add_generation_prompt=True)
