"""What counts as a copy, which of several stays, and what is alarming."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from filters.dedup import MinHash, Pieces

_BANDS, _ROWS = 14, 8
"""FineWeb's (arXiv 2406.17557, 3.4)."""


class DedupConfig(BaseModel):
    """What counts as a copy, which of several stays, and what is alarming."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: Literal["exact", "minhash"] = "minhash"
    """`minhash` removes exact copies as well."""
    level: Literal["document", "paragraph", "line"] = "document"
    """`paragraph` and `line` take pieces that stand in an earlier document out of later ones."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """True similarity of two documents' shingles from which on they are copies."""
    verify: Literal["jaccard", "containment"] = "jaccard"
    """What is counted: shared of all shingles, or shared of the shorter document's. Candidates
    share a band either way: an excerpt of a much longer document hardly does, so cut by `level`."""
    shingle_of: Literal["words", "characters"] = "words"
    shingle: int = Field(default=5, ge=1)
    """Words a shingle, 5 as FineWeb has it; of characters, 24 are usual (NeMo Curator)."""
    bands: int | None = Field(default=None, ge=1)
    rows: int | None = Field(default=None, ge=1)
    """FineWeb's 14 x 8 where neither they nor `permutations` are given."""
    permutations: int | None = Field(default=None, ge=1, le=4096)
    """Choose bands and rows within this number by the threshold (filters/dedup/curve.py)."""
    keep: Literal["longest", "score", "earliest", "preferred_sources"] = "longest"
    """Which document of a cluster stays; ties go to the longest, then to the smallest doc_id."""
    score_column: str | None = None
    """A numeric column, best first; documents without a value come last."""
    date_field: str = "date"
    """Where `earliest` looks in the metadata: ISO 8601; documents without one come last, by source
    and id."""
    preferred_sources: tuple[str, ...] = ()
    """Best first; sources that are not named come last."""
    least_piece_bytes: int = Field(default=40, ge=1)
    """Shorter paragraphs and lines are left alone."""
    max_cluster: int = Field(default=10_000, ge=2)
    """More copies of one document than this hold the result back for a person to look at."""
    max_source_loss: float = Field(default=0.9, gt=0, le=1)
    """As does a source that loses a larger share than this of its documents..."""
    min_source: int = Field(default=100, ge=1)
    """...where it has this many."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.permutations and (self.bands or self.rows):
            raise ValueError("permutations: choose it, or bands and rows, not both")
        if (self.bands is None) != (self.rows is None):
            raise ValueError("bands and rows: give both, or neither for 14 x 8 or permutations")
        if self.permutations and self.threshold == 1:
            raise ValueError("permutations: no curve is best at a threshold of 1; give bands, rows")
        if self.level != "document" and self.method != "exact":
            raise ValueError(
                f"level: {self.level} compares byte by byte; write method: exact beside it"
            )
        for policy, given in (
            ("score", self.score_column is not None),
            ("preferred_sources", bool(self.preferred_sources)),
        ):
            if (self.keep == policy) != given:
                setting = "score_column" if policy == "score" else policy
                raise ValueError(f"keep: {policy} and {setting} go together; found one of the two")
        if self.level != "document" and self.keep != "longest":
            raise ValueError(f"keep: the first {self.level} by doc_id stays; leave it out")
        return self

    def minhash(self) -> "MinHash":
        """Return the hash family that finds candidates and verifies them."""
        from filters.dedup import MinHash, bands_for

        if self.permutations:
            bands, rows = bands_for(self.threshold, self.permutations)
        else:
            bands, rows = self.bands or _BANDS, self.rows or _ROWS
        return MinHash(bands, rows, self.shingle, self.shingle_of)

    def pieces(self) -> "Pieces":
        """Return how texts are cut at this level, which is not `document`."""
        from filters.dedup import Pieces

        assert self.level != "document"
        return Pieces(self.level, self.least_piece_bytes)
