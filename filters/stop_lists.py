"""The stop words of languages, packed for the kernels: which list is each document measured by."""

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters import fineweb2
from filters.kernels.stop_words import NONE, StopLists
from filters.kernels.tokens import PADDING, text_hashes
from filters.text import TextBatch


def stop_lists(scripts: Sequence[str | None]) -> StopLists:
    """Return the lists of the lang_Scripts of N documents; those fineweb2 lacks have none."""
    known = sorted({script for script in scripts if script and script in fineweb2.published()})
    places = {script: place for place, script in enumerate(known)}
    packed = [_packed(script) for script in known]
    empty = (np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))
    return StopLists(
        np.array([places.get(script or "", NONE) for script in scripts], dtype=np.int64),
        np.cumsum([0, *(hashes.size for hashes, _ in packed)], dtype=np.int64),
        np.concatenate([empty[0], *(hashes for hashes, _ in packed)]),
        np.concatenate([empty[1], *(sizes for _, sizes in packed)]),
    )


@functools.cache
def _packed(script: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return the hash of each stop word less its white space, and its number of tokens."""
    words = fineweb2.published()[script]["stop_words"]
    batch = TextBatch.of(pa.array(["".join(word.split()) for word in words], pa.large_string()))
    sizes = [len(TextBatch.of_text(word).word_spans(0)) for word in words]
    padded = np.concatenate([batch.data, np.zeros(PADDING, dtype=np.uint8)])
    return text_hashes(padded, batch.offsets), np.array(sizes, dtype=np.int64)
