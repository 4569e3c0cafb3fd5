"""Exact keys: 128 bits of a text's bytes as they are."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from filters.text import TextBatch, chunks


def exact_keys(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return xxh3_128 of the UTF-8 bytes of each text, fixed_size_binary[16].

    No normalisation: texts share a key when they are equal byte by byte, so composed and
    decomposed letters, or traditional and simplified characters, differ.
    """
    keys = [
        xxhash.xxh3_128_digest(batch.data[begin:end].data)
        for batch in map(TextBatch.of, chunks(texts))
        for begin, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    ]
    return pa.array(keys, pa.binary(16))


def halves(keys: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return N keys as two numbers each, uint64[N, 2]: what arrays sort and group by."""
    if isinstance(keys, pa.ChunkedArray):
        keys = keys.combine_chunks()
    if not len(keys):
        return np.empty((0, 2), dtype=np.uint64)
    data = np.frombuffer(keys.buffers()[1], dtype=np.uint64).reshape(-1, 2)
    return data[keys.offset : keys.offset + len(keys)]


def id_keys(doc_ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return xxh3_64 of each document id, uint64[N]: an order that no position enters."""
    ids = doc_ids.to_pylist()
    return np.fromiter((xxhash.xxh3_64_intdigest(each.encode()) for each in ids), "u8", len(ids))
