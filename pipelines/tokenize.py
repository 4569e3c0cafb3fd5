"""Turn documents into token shards: encoded, joined by EOS, cut to one length, nothing lost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from pipelines import schemas, storage
from pipelines.documents import count_of
from pipelines.ledger import Ledger
from pipelines.local_copies import Bundle
from pipelines.shards import (
    FileEntry,
    Role,
    ShardFiles,
    ShardRecord,
    describe,
    read_table,
    save_record,
)
from pipelines.storage import StorePath
from pipelines.units import run_units, stage_output, units_of
from pipelines.workspace import InputArtifact, StageOutput, Workspace


class TokensConfig(BaseModel):
    """The shape of the token shards."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sequence_length: int = Field(default=4096, ge=8)
    """Tokens a sequence; the paper's is 4096 (section 2.2)."""
    validation_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of documents held out, chosen by a hash of doc_id: stable when the corpus grows."""


@dataclass
class Packed:
    """Sequences of one shard and, for each, which documents lie in it and where they start."""

    length: int
    eos_id: int
    rows: list[np.ndarray] = field(default_factory=list)
    doc_ids: list[list[str]] = field(default_factory=list)
    offsets: list[list[int]] = field(default_factory=list)
    tokens: int = 0
    padding: int = 0

    def add_all(self, documents: Iterator[tuple[str, list[int]]]) -> None:
        """Join documents, each ended by EOS, and cut; the last sequence is filled up with EOS.

        A document that crosses a cut is named in every sequence it reaches into.
        """
        current = np.empty(self.length, dtype=np.uint32)
        filled, ids, starts = 0, list[str](), list[int]()
        for doc_id, encoded in documents:
            rest = np.asarray([*encoded, self.eos_id], dtype=np.uint32)
            self.tokens += len(rest)
            while len(rest):
                taken = min(len(rest), self.length - filled)
                ids.append(doc_id)
                starts.append(filled)
                current[filled : filled + taken] = rest[:taken]
                filled, rest = filled + taken, rest[taken:]
                if filled == self.length:
                    self._close(current, ids, starts)
                    current, filled, ids, starts = np.empty_like(current), 0, [], []
        if filled:
            current[filled:] = self.eos_id
            self.padding += self.length - filled
            self._close(current, ids, starts)

    def _close(self, row: np.ndarray, ids: list[str], starts: list[int]) -> None:
        self.rows.append(row)
        self.doc_ids.append(ids)
        self.offsets.append(starts)

    def table(self, vocab_size: int) -> pa.Table:
        """Return the sequences as a table of schemas.token_shard."""
        schema = schemas.token_shard(self.length, vocab_size)
        dtype = np.uint16 if vocab_size <= 1 << 16 else np.uint32
        flat = np.concatenate(self.rows).astype(dtype) if self.rows else np.empty(0, dtype=dtype)
        ids = pa.FixedSizeListArray.from_arrays(pa.array(flat), self.length)
        columns = [
            ids,
            pa.array(self.doc_ids, pa.list_(pa.string())),
            pa.array(self.offsets, pa.list_(pa.int32())),
        ]
        return pa.Table.from_arrays(columns, schema=schema)


def is_held_out(doc_id: str, share: float) -> bool:
    """Whether a document belongs to the validation split; a pure function of its id."""
    return xxhash.xxh3_64_intdigest(doc_id.encode(), seed=2502) < share * 2**64


class TokenizeWorker:
    """Encodes and packs one unit, the training and the held-out documents apart."""

    def __init__(self, root: str, attempt: str, tokenizer: Bundle, config: TokensConfig) -> None:
        from llada.tokenizer import Tokenizer

        self._root, self._attempt, self._config = storage.at(root), attempt, config
        self._tokenizer = Tokenizer.load(tokenizer.folder())

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the unit, write its token shards, return the record."""
        documents = read_table(unit["path"], ["doc_id", "text"])
        share = self._config.validation_share
        held_out = np.array([is_held_out(i, share) for i in documents["doc_id"].to_pylist()], bool)
        files = ShardFiles(self._root, unit["shard"], self._attempt)
        metrics: dict[str, float] = {}
        splits: tuple[tuple[Role, np.ndarray], ...] = (
            ("data", ~held_out),
            ("validation", held_out),
        )
        for role, mask in splits:
            packed = self._pack(documents.filter(pa.array(mask)))
            if packed.rows:
                files.write_arrow(packed.table(self._tokenizer.vocab_size), role)
            prefix = "" if role == "data" else "validation_"
            metrics[f"{prefix}tokens"] = packed.tokens
            metrics[f"{prefix}sequences"] = len(packed.rows)
            metrics[f"{prefix}padding"] = packed.padding
        size = count_of(documents)
        record = ShardRecord(
            shard=unit["shard"],
            files=files.entries,
            ledger=Ledger(entered=size, kept=size),
            metrics=metrics,
        )
        return save_record(self._root, record)

    def _pack(self, documents: pa.Table) -> Packed:
        packed = Packed(self._config.sequence_length, self._tokenizer.special.eos)
        encoded = self._tokenizer.encode_batch(documents["text"].to_pylist())
        packed.add_all(zip(documents["doc_id"].to_pylist(), encoded, strict=True))
        return packed


def run(workspace: Workspace, config: TokensConfig) -> StageOutput:
    """Tokenize the slot `documents` with the slot `tokenizer`; shards carry the tokenizer along."""
    tokenizer = workspace.input("tokenizer")
    source = tokenizer_files(tokenizer)
    factory = partial(TokenizeWorker, str(workspace.root), workspace.attempt, source, config)
    records = run_units(workspace, units_of(workspace.input("documents")), factory)
    output = stage_output(
        records,
        schema=schemas.token_shard(
            config.sequence_length, tokenizer.info["vocab_size"]
        ).to_string(),
        info={
            "sequence_length": config.sequence_length,
            "vocab_size": tokenizer.info["vocab_size"],
            "tokenizer": tokenizer.digest,
            "tokenizer_folder": "aside",
        },
        extra_files=copy_tokenizer(tokenizer, workspace.root),
    )
    return output


def tokenizer_files(artifact: InputArtifact) -> Bundle:
    """Return the checked files of the tokenizer that an artifact holds or carries along."""
    return artifact.bundle(_tokenizer_role(artifact))


def copy_tokenizer(artifact: InputArtifact, root: StorePath) -> tuple[FileEntry, ...]:
    """Copy a tokenizer beside what was made with it, so that nothing is separated from it."""
    entries = []
    for path, content in storage.read_all(artifact.paths(_tokenizer_role(artifact))).items():
        target = root / "aside" / path.name
        written = storage.write_bytes(target, content)
        entries.append(describe(root, target, written, "aside", shard=path.name, rows=1))
    return tuple(entries)


def _tokenizer_role(artifact: InputArtifact) -> Role:
    return "data" if artifact.kind == "tokenizer" else "aside"
