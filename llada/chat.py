"""The chat format of LLaDA, built from ids: nothing a user types can open a header or end a turn.

BOS, then for each message: start header, role, end header, blank line, content, end of turn.
"""

from collections.abc import Sequence
from typing import TypedDict

from llada.errors import LladaError
from llada.tokenizer import Tokenizer

ROLES = ("system", "user", "assistant")


class Message(TypedDict):
    """One turn of a dialogue."""

    role: str
    content: str


def render(
    messages: Sequence[Message], tokenizer: Tokenizer, *, add_generation_prompt: bool
) -> list[int]:
    """Return the ids of a dialogue; the generation prompt is the header of the next answer.

    Header and content are encoded apart, so a rendered dialogue always begins with the ids of its
    first turns: what the model is trained to continue is what it is asked to continue.
    """
    special = tokenizer.special
    ids = [special.bos]
    for message in messages:
        content = tokenizer.encode(message["content"].strip())
        ids += [*_header(message["role"], tokenizer), *content, special.eot]
    if add_generation_prompt:
        ids += _header("assistant", tokenizer)
    return ids


def render_pair(messages: Sequence[Message], tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the prompt and the response of a fine-tuning sample, whose last turn is the answer.

    The response ends its turn *and* the text: at least one EOS follows every answer, padding or
    not, or the model would learn to stop only in batches of unequal length.
    """
    if not messages or messages[-1]["role"] != "assistant":
        found = messages[-1]["role"] if messages else "no message"
        raise LladaError(
            f"a dialogue that ends with {found}; a fine-tuning sample ends with the assistant: "
            f"cut it after an answer"
        )
    prompt = render(messages[:-1], tokenizer, add_generation_prompt=True)
    whole = render(messages, tokenizer, add_generation_prompt=False)
    return prompt, [*whole[len(prompt) :], tokenizer.special.eos]


def _header(role: str, tokenizer: Tokenizer) -> list[int]:
    """Return the ids that open a turn."""
    if role not in ROLES:
        raise LladaError(f"no role {role!r}; a message is from one of {', '.join(ROLES)}")
    special = tokenizer.special
    name, gap = tokenizer.encode(role), tokenizer.encode("\n\n")
    return [special.start_header, *name, special.end_header, *gap]
