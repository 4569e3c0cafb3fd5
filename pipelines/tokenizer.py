"""Train the tokenizer: byte-level BPE over the documents that came through, special ids first."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from pipelines.documents import count_of
from pipelines.ledger import Count, Ledger
from pipelines.local_copies import scratch
from pipelines.shards import settle
from pipelines.workspace import InputArtifact, Progress, StageOutput, Workspace


class TokenizerConfig(BaseModel):
    """How large the vocabulary is and how much text it is learned from."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    vocab_size: int = Field(default=4096, ge=300, le=1 << 20)
    min_frequency: int = Field(default=2, ge=1)
    max_bytes: int = Field(default=256 << 20, ge=1)
    """Train on the first so many bytes of text, in manifest order; more adds little but time."""


def run(workspace: Workspace, config: TokenizerConfig) -> StageOutput:
    """Train on the slot `documents` and save tokenizer.json and its config as the data files."""
    from llada.tokenizer import Tokenizer

    documents = workspace.input("documents")
    reader = _Texts(documents, config.max_bytes)
    workspace.on_progress(Progress(0, 1, "training"))
    tokenizer = Tokenizer.train(
        iter(reader), vocab_size=config.vocab_size, min_frequency=config.min_frequency
    )
    folder = workspace.root / f"data-{workspace.attempt}"
    tokenizer.save(scratch(folder))
    files = settle(workspace.root, folder, "data")
    workspace.on_progress(Progress(1, 1, "training"))
    return StageOutput(
        files=files,
        ledger=Ledger(
            entered=reader.used + reader.skipped,
            kept=reader.used,
            dropped={"over_max_bytes": reader.skipped} if reader.skipped.rows else {},
        ),
        metrics={"vocab_size": tokenizer.vocab_size},
        info={"folder": folder.name, "vocab_size": tokenizer.vocab_size, "id": tokenizer.digest()},
        schema="tokenizer.json (Hugging Face tokenizers)",
    )


class _Texts:
    """Streams texts until the budget is spent and counts both sides."""

    def __init__(self, documents: InputArtifact, max_bytes: int) -> None:
        self._documents = documents
        self._max_bytes = max_bytes
        self.used = Count()
        self.skipped = Count()

    def __iter__(self) -> Iterator[str]:
        for table in self._documents.tables(columns=["text"]):
            if self.used.bytes >= self._max_bytes:
                self.skipped += count_of(table)
                continue
            self.used += count_of(table)
            yield from table["text"].to_pylist()
