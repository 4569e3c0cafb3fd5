"""Let a language model judge a sample, teach a fastText classifier, and filter the rest with it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from pipelines import schemas, storage
from pipelines.documents import DocumentsWorker, Judged, desk_of
from pipelines.errors import InputError
from pipelines.ledger import Ledger
from pipelines.local_copies import Bundle, scratch
from pipelines.shards import ShardFiles, ShardRecord, read_table, save_record, settle
from pipelines.units import Unit, run_units, stage_output, units_of
from pipelines.workspace import StageOutput, Workspace

_CLASSIFIER = "quality.bin"


class JudgeConfig(BaseModel):
    """How much is judged, and how much of the rest may stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sample: int = Field(default=300, ge=20)
    """Documents the language model scores 0-5."""
    text_bytes: int = Field(default=1000, ge=100, le=1000)
    """How much of a document it reads; its time is almost all spent on reading."""
    keep_share: float = Field(default=0.75, gt=0, lt=1)
    """Share of documents to keep: a small model's scores rank, no more (docs/decisions.md)."""
    good_quantile: float = Field(default=0.5, gt=0, lt=1)
    """Documents whose score reaches this quantile of the sample teach what is good."""
    seed: int = Field(default=1, ge=0)
    batch: int = Field(default=20, ge=1)
    """Documents a unit of judging holds: what a kill can lose."""


class ScoreWorker:
    """Asks the language model about the documents of one small unit."""

    def __init__(self, root: str, attempt: str, text_bytes: int) -> None:
        from filters.judge import Judge
        from filters.local_llm import LocalLlm

        self._root, self._attempt, self._text_bytes = storage.at(root), attempt, text_bytes
        self._judge = Judge(LocalLlm())

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Score the unit's documents, write (doc_id, text, score), return the record."""
        table = read_table(unit["path"])
        table = table.slice(unit["first"], unit["rows"])
        judged = [self._judge.score(self._start_of(t)) for t in table["text"].to_pylist()]
        table = table.append_column("score", pa.array([one.score for one in judged], pa.float64()))
        files = ShardFiles(self._root, unit["shard"], self._attempt)
        files.write_parquet(table, "features")
        record = ShardRecord(shard=unit["shard"], files=files.entries, ledger=Ledger())
        return save_record(self._root, record)

    def _start_of(self, text: str) -> str:
        return text.encode()[: self._text_bytes].decode("utf-8", "ignore")


class ScoreUnit(Unit):
    """A slice of the sample."""

    first: int


class Apply:
    """Filters documents by the classifier."""

    def __init__(self, classifier: Bundle, threshold: float) -> None:
        from filters.quality import QualityClassifier

        self._classifier = QualityClassifier.load(classifier.folder() / _CLASSIFIER)
        self._threshold = threshold

    def __call__(self, documents: pa.Table) -> Judged:
        """Return both sides, with the score of each document."""
        quality = pa.array(self._classifier.predict(documents["text"]), pa.float64())
        documents = documents.append_column("quality", quality)
        keep = pc.greater_equal(documents["quality"], self._threshold)
        kept, dropped = documents.filter(keep), documents.filter(pc.invert(keep))
        return Judged(kept, _with_verdict(dropped, self._threshold))


def run(workspace: Workspace, config: JudgeConfig) -> StageOutput:
    """Judge a sample of the slot `documents`, learn, and filter all of them."""
    from filters.quality import QualityClassifier

    root, attempt = str(workspace.root), workspace.attempt
    units = units_of(workspace.input("documents"))
    sample = _sample(units, 2 * config.sample, config.seed)
    if sample.num_rows < 20:
        raise InputError(
            f"judge: found {sample.num_rows} documents to learn from; at least 20 are needed. "
            "Loosen the filters before it, or leave the judge out of the recipe."
        )
    judged = sample.slice(0, config.sample)
    scored = run_units(
        workspace,
        _score_units(workspace, judged, config.batch),
        partial(ScoreWorker, root, attempt, config.text_bytes),
        unit="batches judged",
    )
    scores = pa.concat_tables(
        read_table(workspace.root / record.files[0].path) for record in scored
    )
    classifier, learned = QualityClassifier.train(
        scores["text"], scores["score"].to_numpy(), quantile=config.good_quantile, seed=config.seed
    )
    fresh = sample.slice(config.sample) if sample.num_rows > config.sample else judged
    threshold = float(np.quantile(classifier.predict(fresh["text"]), 1 - config.keep_share))
    folder = workspace.root / f"aside-{attempt}"
    scratch(folder).mkdir(parents=True, exist_ok=True)
    classifier.save(scratch(folder) / _CLASSIFIER)
    saved = settle(workspace.root, folder, "aside")
    bundle = Bundle(tuple((str(workspace.root / one.path), one.xxh3_128) for one in saved))
    records = run_units(
        workspace,
        units,
        partial(DocumentsWorker, desk_of(workspace), partial(Apply, bundle, threshold)),
    )
    output = stage_output(
        records,
        schema=schemas.DOCUMENT.to_string(),
        info={"threshold": threshold, "judged": judged.num_rows},
        extra_files=(
            *(entry for record in scored for entry in record.files),
            *saved,
        ),
    )
    metrics = {
        **output.metrics,
        "judged": float(judged.num_rows),
        "score_mean": float(np.mean(scores["score"].to_numpy())),
        "classifier_auc": learned.auc,
        "threshold": threshold,
    }
    return StageOutput(output.files, output.ledger, metrics, output.info, output.schema)


def _sample(units: Sequence[Unit], count: int, seed: int) -> pa.Table:
    """Return `count` documents chosen by a hash of their ids: the same for any unit layout."""
    ids = [
        doc_id
        for unit in units
        for doc_id in read_table(unit.path, ["doc_id"])["doc_id"].to_pylist()
    ]
    chosen = sorted(ids, key=lambda i: (xxhash.xxh3_64_intdigest(i.encode(), seed=seed), i))[:count]
    wanted = pa.array(chosen, pa.string())
    parts = []
    for unit in units:
        table = read_table(unit.path, ["doc_id", "text"])
        parts.append(table.filter(pc.is_in(table["doc_id"], wanted)))
    found = pa.concat_tables(parts)
    order = pc.index_in(found["doc_id"], wanted)
    return found.take(pc.sort_indices(order))


def _score_units(workspace: Workspace, sample: pa.Table, batch: int) -> list[ScoreUnit]:
    files = ShardFiles(workspace.root, "sample", workspace.attempt)
    files.write_parquet(sample, "aside")
    path = str(workspace.root / files.entries[0].path)
    return [
        ScoreUnit(
            shard=f"score-{first // batch:05d}",
            path=path,
            rows=min(batch, sample.num_rows - first),
            bytes=0,
            first=first,
        )
        for first in range(0, sample.num_rows, batch)
    ]


def _with_verdict(dropped: pa.Table, threshold: float) -> pa.Table:
    rows = dropped.num_rows
    for name, value in (("rule", "low_quality"), ("feature", "quality")):
        dropped = dropped.append_column(
            schemas.DROPPED.field(name), pa.array([value] * rows, pa.string())
        )
    dropped = dropped.append_column("value", dropped["quality"])
    return dropped.append_column("limit", pa.array([threshold] * rows, pa.float64()))
