"""The Arrow schemas at rest: documents, dropped documents, token shards, instruction pairs."""

import pyarrow as pa

DOCUMENT = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("source", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("metadata", pa.string()),
    ]
)
"""A document; stages may add columns, never lose these."""

VERDICT = (
    pa.field("rule", pa.string(), nullable=False),
    pa.field("feature", pa.string(), nullable=False),
    pa.field("value", pa.float64()),
    pa.field("limit", pa.float64()),
    pa.field("stage", pa.string(), nullable=False),
)
"""What a dropped document carries besides its own columns."""

DROPPED = pa.schema([*DOCUMENT, *VERDICT])

LISTING = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("xxh3_128", pa.string(), nullable=False),
    ]
)
"""A source artifact: one row a file; `name` is stable between machines, `uri` says where it is."""

PAIRS_TEXT = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("prompt", pa.large_string(), nullable=False),
        pa.field("response", pa.large_string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
    ]
)


def token_type(vocab_size: int) -> pa.DataType:
    """Return the narrowest unsigned type that holds every id of a vocabulary."""
    return pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()


def token_shard(sequence_length: int, vocab_size: int) -> pa.Schema:
    """Return the schema of a token shard.

    `doc_ids[k]` starts at position `offsets[k]` of the sequence and reaches to `offsets[k + 1]`
    (or to the end): from any position one can walk back to its document.
    """
    return pa.schema(
        [
            pa.field(
                "input_ids", pa.list_(token_type(vocab_size), sequence_length), nullable=False
            ),
            pa.field("doc_ids", pa.list_(pa.string()), nullable=False),
            pa.field("offsets", pa.list_(pa.int32()), nullable=False),
        ]
    )


def pair_shard(vocab_size: int) -> pa.Schema:
    """Return the schema of an SFT shard: one prompt and one response a row."""
    ids = pa.list_(token_type(vocab_size))
    return pa.schema(
        [
            pa.field("prompt_ids", ids, nullable=False),
            pa.field("response_ids", ids, nullable=False),
            pa.field("doc_id", pa.string(), nullable=False),
        ]
    )
