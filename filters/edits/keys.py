"""Find credentials that stand in a text: access keys, tokens, JSON Web Tokens, private keys.

The forms are those their issuers document. Every pattern is linear: it may start only where no
character of its own alphabet stands before, and what it has taken it does not give back.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.text import TextBatch

_END = rb"(?![A-Za-z0-9_-])"
_BASE64 = rb"[A-Za-z0-9_-]"
_PRIVATE_KEY = (
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:(?:[^-]++|-(?!----))*+-----END [A-Z0-9 ]{1,60}-----|(?:\s++[A-Za-z0-9+/=]{32,}+)++)"
)


def _token(beginning: bytes, rest: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a token; what begins it is looked for first, which is quick."""
    first = re.escape(beginning)
    return re.compile(first + rb"(?<![A-Za-z0-9_-]" + first + rb")" + rest)


PATTERNS: Final[Mapping[bytes, re.Pattern[bytes]]] = {
    b"-----BEGIN ": re.compile(_PRIVATE_KEY),
    b"eyJ": _token(b"eyJ", rb"[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]{8,}+"),  # JSON Web Token
    b"AKIA": _token(b"AKIA", rb"[0-9A-Z]{16}" + _END),  # AWS, a user's
    b"ASIA": _token(b"ASIA", rb"[0-9A-Z]{16}" + _END),  # AWS, a session's
    **{
        b"gh%b_" % kind: _token(b"gh%b_" % kind, rb"[A-Za-z0-9]{36,}+" + _END)
        for kind in (b"p", b"o", b"u", b"s", b"r")
    },
    b"github_pat_": _token(b"github_pat_", rb"\w{22,}+" + _END),
    b"hf_": _token(b"hf_", rb"[A-Za-z0-9]{30,}+" + _END),  # Hugging Face
    b"sk-": _token(b"sk-", rb"(?=[A-Za-z_-]*+[0-9])[\w-]{32,}+"),  # OpenAI, Anthropic and alike
    b"AIza": _token(b"AIza", _BASE64 + rb"{35}" + _END),  # Google
    b"xox": _token(b"xox", rb"[abeprs]-[0-9A-Za-z-]{10,}+"),  # Slack
    b"sk_live_": _token(b"sk_live_", rb"[A-Za-z0-9]{24,}+" + _END),  # Stripe, secret
    b"rk_live_": _token(b"rk_live_", rb"[A-Za-z0-9]{24,}+" + _END),  # Stripe, restricted
    b"glpat-": _token(b"glpat-", rb"[\w-]{20,}+"),  # GitLab
    b"npm_": _token(b"npm_", rb"[A-Za-z0-9]{36}" + _END),
    b"pypi-AgEI": _token(b"pypi-AgEI", rb"[\w-]{50,}+"),
    b"SG.": _token(b"SG.", rb"[\w-]{22}\.[\w-]{43}" + _END),  # SendGrid
}
"""What a credential begins with -> all of it."""

_BEGINNINGS = "|".join(re.escape(beginning.decode()) for beginning in PATTERNS)


def may_hold_keys(texts: pa.Array) -> list[int]:
    """Return the rows of the texts that hold the beginning of one of the patterns."""
    found = pc.match_substring_regex(texts, _BEGINNINGS)
    rows: list[int] = np.flatnonzero(found.to_numpy(zero_copy_only=False)).tolist()
    return rows


def key_spans(batch: TextBatch, row: int) -> list[tuple[int, int]]:
    """Return where credentials stand in one text, in bytes from its start, apart and in order."""
    content = batch.bytes_of(row)
    found = sorted(
        match.span()
        for beginning, pattern in PATTERNS.items()
        if beginning in content
        for match in pattern.finditer(content)
    )
    apart: list[tuple[int, int]] = []
    for start, stop in found:
        if not apart or start >= apart[-1][1]:
            apart.append((start, stop))
    return apart
