"""Which part of a text each token wrote, for everything that shows tokens rather than texts."""

from collections.abc import Sequence

from llada.tokenizer import Tokenizer

_HALF = "\ufffd"
_LONGEST = 4  # bytes of a character, so tokens that one can be spread over


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Return one text a token; joined they are the decoded text.

    A character spread over several tokens belongs to the last of them; special ids write nothing.
    """
    found: list[str] = []
    begin = 0
    for at in range(len(ids)):
        text = tokenizer.decode(ids[begin : at + 1])
        unfinished = text.endswith(_HALF) and at + 1 < len(ids) and at + 1 - begin < _LONGEST
        found.append("" if unfinished else text)
        if not unfinished:
            begin = at + 1
    return found
