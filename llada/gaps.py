"""A text with gaps, as a person writes one: [MASK] is one gap, [MASK:5] one of five tokens."""

import re

from llada.errors import LladaError
from llada.tokenizer import Tokenizer

_GAP = re.compile(r"\[MASK(?::([^\]\[]*))?\]")
_LONGEST = 4096


def with_gaps(text: str, tokenizer: Tokenizer, *, default: int) -> list[int]:
    """Return the ids of a text, the mask id wherever a gap is; `default` tokens for [MASK].

    The texts between gaps are encoded apart, as if each stood alone.

    Raises:
        LladaError: there is no gap, or one of an impossible length.
    """
    ids: list[int] = []
    begin = 0
    for gap in _GAP.finditer(text):
        ids += tokenizer.encode(text[begin : gap.start()])
        ids += [tokenizer.special.mask] * _length(gap, default)
        begin = gap.end()
    if not begin:
        raise LladaError(
            "there is no gap to fill; write [MASK] where text is missing, or [MASK:5] for five "
            "tokens"
        )
    return ids + tokenizer.encode(text[begin:])


def _length(gap: re.Match[str], default: int) -> int:
    written = gap[1]
    if written is None:
        return default
    if not (written.isascii() and written.isdigit() and 1 <= int(written[:9]) <= _LONGEST):
        raise LladaError(
            f"{gap[0]}: a gap has 1 to {_LONGEST} tokens; write their number, as in [MASK:5]"
        )
    return int(written)
