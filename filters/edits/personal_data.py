"""Put placeholders where a text gives away a person or a secret.

    key    credentials of known issuers, private keys, JSON Web Tokens (filters/edits/keys.py)
    email  ASCII addresses: a local part of at most 64 characters, a domain that ends in letters
    card   payment cards: issuer's prefix, length and Luhn checksum; never part of a longer number
    ip     public IPv4 and IPv6 addresses (IANA's special ranges stay: they are nobody's)
    phone  "+" and 8 to 15 digits (ITU-T E.164), and (ddd) ddd-dddd and its like for North America

A space or hyphen between groups of digits may be one that allows no break. Phone numbers in
national forms of other countries stay: without the country they cannot be told from dates, prices
and part numbers. Kinds are replaced one after another in this order, and again until nothing is
found. What was found is in no change row, log or error: only how much of it.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, field_validator

from filters.edits.edited import Edited, change_rows, replaced, texts_of
from filters.edits.keys import key_spans, may_hold_keys
from filters.text import TextBatch

Kind = Literal["key", "email", "card", "ip", "phone"]
Spans = list[tuple[int, int]]

_ROUNDS = 4
_PLACEHOLDER = re.compile(r"(?:\[[A-Za-z_ ]{1,40}\]|<[A-Za-z_ ]{1,40}>|\{[A-Za-z_ ]{1,40}\})")


class PersonalData(BaseModel):
    """Which kinds are replaced, and by what."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    kinds: tuple[Kind, ...] = ("key", "email", "card", "ip", "phone")
    placeholders: Mapping[Kind, str] = {}
    """Words in brackets, which nothing can take for data; those not named are [KEY], [EMAIL]..."""

    @field_validator("kinds")
    @classmethod
    def _in_order(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not kinds:
            raise ValueError(f"found no kind; name some of {', '.join(FINDERS)}, or leave it out")
        return tuple(kind for kind in FINDERS if kind in kinds)

    @field_validator("placeholders")
    @classmethod
    def _recognisable(cls, placeholders: Mapping[Kind, str]) -> Mapping[Kind, str]:
        for kind, placeholder in placeholders.items():
            if not _PLACEHOLDER.fullmatch(placeholder):
                raise ValueError(
                    f"placeholder of {kind}: allowed are 1 to 40 letters, spaces and underscores "
                    f"in brackets, like [EMAIL], <email> or {{email}}; found {placeholder!r}"
                )
        return {kind: f"[{kind.upper()}]" for kind in FINDERS} | dict(placeholders)

    def apply(self, documents: pa.Table) -> Edited:
        """Return the texts with placeholders; `count` is how many were put."""
        texts = texts_of(documents)
        batch = TextBatch.of(texts)
        redacted: dict[int, str] = {}
        found: list[tuple[int, str, int, int, int]] = []
        for row, kinds in self._candidates(batch, texts).items():
            content, changes = self._redact(batch.bytes_of(row), kinds)
            if changes:
                redacted[row] = content.decode()
            found += ((row, kind, *sizes) for kind, sizes in changes.items())
        return Edited(replaced(texts, redacted), change_rows(found))

    def _candidates(self, batch: TextBatch, texts: pa.Array) -> dict[int, tuple[Kind, ...]]:
        """Return the rows in which a kind finds something at once, and what to look for there.

        The others cost no Python. No replacement makes the beginning of a key.
        """
        from filters.kernels.personal_data import holds_any

        wanted = sum(1 << shape for kind in self.kinds for shape in SHAPES[kind])
        rows = set(np.flatnonzero(holds_any(wanted, batch.data, batch.offsets)).tolist())
        keyed = set(may_hold_keys(texts)) if "key" in self.kinds else set()
        others = tuple(kind for kind in self.kinds if kind != "key")
        return {row: self.kinds if row in keyed else others for row in sorted(rows | keyed)}

    def _redact(
        self, content: bytes, kinds: tuple[Kind, ...]
    ) -> tuple[bytes, dict[str, tuple[int, int, int]]]:
        """Return a text with placeholders, and {kind: (count, bytes removed, bytes added)}."""
        changes: dict[str, tuple[int, int, int]] = {}
        for _ in range(_ROUNDS):
            before = content
            for kind in kinds:
                spans = FINDERS[kind](_batch(content))
                if not spans:
                    continue
                put = self.placeholders[kind].encode()
                content = _put(content, spans, put)
                had = changes.get(kind, (0, 0, 0))
                size = sum(stop - start for start, stop in spans)
                new = (len(spans), size, len(spans) * len(put))
                changes[kind] = (had[0] + new[0], had[1] + new[1], had[2] + new[2])
            if content == before:
                break
        return content, changes


def _put(content: bytes, spans: Spans, placeholder: bytes) -> bytes:
    pieces: list[bytes] = []
    at = 0
    for start, stop in spans:
        pieces += (content[at:start], placeholder)
        at = stop
    return b"".join((*pieces, content[at:]))


def _batch(content: bytes) -> TextBatch:
    return TextBatch(np.frombuffer(content, np.uint8), np.array([0, len(content)], np.int64))


def _shaped(*shapes: int) -> Callable[[TextBatch], Spans]:
    def find(batch: TextBatch) -> Spans:
        from filters.kernels.personal_data import spans

        found: Spans = []
        for shape in shapes:
            _, starts, stops = spans(shape, batch.data, batch.offsets)
            found += zip(starts.tolist(), stops.tolist(), strict=True)
        return sorted(found)

    return find


def _public_addresses(batch: TextBatch) -> Spans:
    return [
        (start, stop)
        for start, stop in _shaped(*SHAPES["ip"])(batch)
        if _is_public(batch.data[start:stop].tobytes().decode("ascii"))
    ]


def _is_public(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_global and not found.is_multicast


def _keys(batch: TextBatch) -> Spans:
    return key_spans(batch, 0)


_EMAIL, _CARD, _IP4, _IP6, _PHONE = range(5)  # as in filters/kernels/personal_data.py

SHAPES: Final[Mapping[Kind, tuple[int, ...]]] = {
    "key": (),
    "email": (_EMAIL,),
    "card": (_CARD,),
    "ip": (_IP4, _IP6),
    "phone": (_PHONE,),
}
"""Which shapes of the kernel a kind may have."""

FINDERS: Final[Mapping[Kind, Callable[[TextBatch], Spans]]] = {
    "key": _keys,
    "email": _shaped(*SHAPES["email"]),
    "card": _shaped(*SHAPES["card"]),
    "ip": _public_addresses,
    "phone": _shaped(*SHAPES["phone"]),
}
"""Every kind in the order of replacement: where it stands in a batch of one text."""
