"""`words="spacy"`: the tokens of spaCy's English tokenizer, asked once for each chunk of text.

spaCy splits a text at white space and tokenizes what lies between (chunks) one by one, so the
tokens of a chunk can be kept and looked up by a compiled pass: 40 times as fast as spaCy. These
are the words of datatrove's English filters, `spacy.blank("en")` with blank tokens left out,
except that here

- the tokens of a chunk depend on the chunk alone: spaCy's own cache, through which they depend on
  what was read before, is off. So every worker finds the same words, whatever it read;
- a special case that spaCy finds *across* a space ("( -:)") is not looked for;
- a chunk of more than LONGEST_CHUNK bytes is read in pieces; the column chunk_cuts counts the cuts.
"""

import importlib.util
import re
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from filters.errors import FilterError
from filters.kernels.characters import table as character_table
from filters.text import TextBatch

MOST_CHUNKS = 1 << 19
"""How many chunks are remembered; then all are forgotten. The table takes some 30 MB at most."""

_LEARN_AT_ONCE: Final = 1 << 14
_FIRST_SLOTS: Final = 1 << 16
_PLAIN: Final = re.compile(r"([\"(]?)([A-Za-z]+)((?:[,;:!?)\"]|(?<=[a-z])\.)?)")
"""Chunks that spaCy always splits at the two groups' borders, unless a special case is in them."""


class Spans(NamedTuple):
    """The words of N documents: d's are `starts[firsts[d]:firsts[d + 1]]` and `stops` alike.

    `starts` and `stops` are int64 positions in the data of the batch, `firsts` int64[N + 1];
    `cuts` int64[N] counts the chunks that were cut because of their length.
    """

    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]
    cuts: npt.NDArray[np.int64]


def check_installed() -> None:
    """Raise FilterError where spaCy is missing."""
    if importlib.util.find_spec("spacy") is None:
        raise FilterError(
            "words='spacy' needs spaCy, which is not installed: pip install 'spacy>=3.8,<4' "
            "(or the extra: pip install 'llada-pipeline[spacy]'), or use words='unicode' with "
            "limits of your own"
        )


@cache
def spacy_words() -> "SpacyWords":
    """Return this process's words: what it has learned, it keeps."""
    return SpacyWords()


class SpacyWords:
    """Finds the words of a batch; remembers up to `most_chunks` chunks (plus one lesson)."""

    def __init__(self, most_chunks: int = MOST_CHUNKS) -> None:
        check_installed()
        import spacy

        self._language: Any = spacy.blank("en")
        self._tokenizer: Any = self._language.tokenizer
        self._tokenizer.max_cache_size = 0
        self._language.vocab.lex_attr_getters.clear()
        self._special = frozenset(self._tokenizer.rules)
        self._most_chunks = most_chunks
        self._lock = Lock()
        self._forget()

    def spans(self, batch: TextBatch) -> Spans:
        """Return the words of every text; memory grows with the bytes of the batch."""
        from filters.kernels.chunks import Place, lay_out, reserve_unseen

        size = int(batch.offsets[-1] - batch.offsets[0])
        starts, stops = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
        firsts = np.zeros(len(batch) + 1, dtype=np.int64)
        cuts = np.zeros(len(batch), dtype=np.int64)
        place, count = Place(0, int(batch.offsets[0])), 0
        with self._lock:
            while place.document < len(batch):
                self._make_room()
                unseen_starts, unseen_stops, until = reserve_unseen(
                    batch.data, batch.offsets, place, character_table(), self._table, _LEARN_AT_ONCE
                )
                chunks = zip(unseen_starts.tolist(), unseen_stops.tolist(), strict=True)
                self._learn([batch.data[start:stop].tobytes() for start, stop in chunks])
                count = lay_out(
                    batch.data,
                    batch.offsets,
                    place,
                    until,
                    character_table(),
                    self._table,
                    starts,
                    stops,
                    firsts,
                    cuts,
                    count,
                )
                place = until
        return Spans(starts[:count], stops[:count], firsts, cuts)

    def _forget(self) -> None:
        from filters.kernels.chunks import ChunkTable

        self._table = ChunkTable(
            np.zeros(_FIRST_SLOTS, dtype=np.uint64),
            np.zeros(_FIRST_SLOTS, dtype=np.int32),
            np.zeros(1, dtype=np.int64),
            np.zeros(0, dtype=np.uint16),
            np.zeros(0, dtype=np.uint16),
        )

    def _make_room(self) -> None:
        """Keep the table under half full after the next lesson; forget all when it is too big."""
        from filters.kernels.chunks import moved

        entries = self._table.firsts.size - 1
        if entries > self._most_chunks:
            self._forget()
        elif 2 * (entries + _LEARN_AT_ONCE) > self._table.keys.size:
            keys, slots = moved(self._table.keys, self._table.slots, 2 * self._table.keys.size)
            self._table = self._table._replace(keys=keys, slots=slots)

    def _learn(self, chunks: list[bytes]) -> None:
        """Append the tokens of the chunks that were just reserved, in the same order."""
        try:
            spans = self._tokens([chunk.decode(errors="replace") for chunk in chunks])
        except BaseException:
            self._forget()  # entries without tokens would poison every later text
            raise
        widths = [len(chunk) for chunk in chunks]
        starts, stops, counts = [], [], np.zeros(len(chunks), dtype=np.int64)
        for index, (tokens, width) in enumerate(zip(spans, widths, strict=True)):
            counts[index] = len(tokens)
            for start, stop in tokens:
                starts.append(min(start, width))
                stops.append(min(stop, width))
        table = self._table
        ends = table.firsts[-1] + np.cumsum(counts)
        self._table = table._replace(
            firsts=np.concatenate((table.firsts, ends)),
            starts=np.concatenate((table.starts, np.array(starts, dtype=np.uint16))),
            stops=np.concatenate((table.stops, np.array(stops, dtype=np.uint16))),
        )

    def _tokens(self, chunks: list[str]) -> list[list[tuple[int, int]]]:
        """Return where the tokens of each chunk start and stop, in UTF-8 bytes from its start."""
        spans: list[list[tuple[int, int]]] = [[]] * len(chunks)
        hard = []
        for index, chunk in enumerate(chunks):
            plain = self._plain(chunk)
            if plain is None:
                hard.append(index)
            else:
                spans[index] = plain
        if hard:
            asked = self._ask([chunks[index] for index in hard])
            for index, tokens in zip(hard, asked, strict=True):
                spans[index] = tokens
        return spans

    def _plain(self, chunk: str) -> list[tuple[int, int]] | None:
        """Return the tokens of a chunk that spaCy need not be asked about, else None."""
        match = _PLAIN.fullmatch(chunk)
        if match is None:
            return None
        before, word, after = match.groups()
        special = self._special
        if chunk in special or word in special:
            return None
        if (after and word + after in special) or (before and before + word in special):
            return None
        borders = sorted({0, match.end(1), match.end(2), match.end(3)})
        return list(pairwise(borders))

    def _ask(self, chunks: list[str]) -> list[list[tuple[int, int]]]:
        """Have spaCy tokenize chunks, a line each: no special case reaches over a newline."""
        text = "\n".join(chunks)
        try:
            with self._language.memory_zone():
                table = self._tokenizer(text).to_array(["IDX", "LENGTH"]).astype(np.int64)
        except AssertionError:  # spaCy stumbles over its own constant "IS_ALPHA" in a memory zone
            table = self._tokenizer(text).to_array(["IDX", "LENGTH"]).astype(np.int64)
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        widths = 1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF).astype(np.int64)
        bytes_before = np.concatenate(([0], np.cumsum(widths)))
        table = table[codes[table[:, 0]] != ord("\n")]
        sizes = np.array([len(chunk) + 1 for chunk in chunks])
        begins = np.cumsum(sizes) - sizes
        owners = np.searchsorted(begins, table[:, 0], side="right") - 1
        origin = bytes_before[begins[owners]]
        starts = (bytes_before[table[:, 0]] - origin).tolist()
        stops = (bytes_before[table[:, 0] + table[:, 1]] - origin).tolist()
        spans: list[list[tuple[int, int]]] = [[] for _ in chunks]
        for owner, start, stop in zip(owners.tolist(), starts, stops, strict=True):
            spans[owner].append((start, stop))
        return spans
