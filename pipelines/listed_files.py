"""What a source lists: one value a file, whether it lies on this machine or on a server."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

FileFormat = Literal[
    "jsonl", "lines", "parquet", "arrow", "text", "html", "warc",
    "python_docs", "package_metadata", "pydoc_topics",
]  # fmt: skip


class SourceFile(BaseModel):
    """One row of a listing."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    uri: str
    format: FileFormat
    bytes: int
    xxh3_128: str
    """The hash of the content; `etag:...` where a server names the version of its file."""

    @property
    def is_remote(self) -> bool:
        """Whether it lies on a server (pipelines/remote)."""
        return "://" in self.uri

    @property
    def has_ranges(self) -> bool:
        """Whether a part of it can be read without the rest: one on a server by its version."""
        return not self.is_remote or self.xxh3_128.startswith("etag:")


class DroppedFile(BaseModel):
    """A file that was found and is not part of the listing."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    uri: str
    bytes: int
    rule: str


class Survey(BaseModel):
    """Everything a source names: what is listed and what is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    files: tuple[SourceFile, ...]
    dropped: tuple[DroppedFile, ...]
