"""A listed file or a part of it, and how it is read: what a worker is given."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.listed_files import SourceFile

BrokenFiles = Literal["stop", "set_aside"]
Extractor = Literal["resiliparse", "trafilatura"]

MOST_BYTES = 64 << 20
"""The longest line, page or text file that is read; a longer one is a broken record."""


class Portion(BaseModel):
    """A whole file (start 0, no stop), or what begins in [start, stop) of it.

    Bytes of the file where it is read by lines or as WARC, row groups where it is Parquet, record
    batches where it is Arrow. All portions of a file together give the records of the file, in
    order and with the same ids.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: SourceFile
    start: int = Field(default=0, ge=0)
    stop: int | None = None
    stamp: int | None = None
    """Time of change (ns) of a local file whose content was compared when it was cut."""

    @property
    def is_whole(self) -> bool:
        """Whether this is the file from its beginning to its end."""
        return self.start == 0 and self.stop is None


class Reading(BaseModel):
    """How records are read, whatever the format."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    broken_files: BrokenFiles = "stop"
    extractor: Extractor = "resiliparse"
    most_bytes: int = Field(default=MOST_BYTES, ge=1)


AS_USUAL = Reading()
