"""What a filter would do, tried on a few documents in seconds: rules, examples, the whole job."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.deaths import CrashError, InChild
from pipelines.documents import count_of, judged_apart
from pipelines.errors import InputError
from pipelines.filter import FilterConfig, Judge, rules_of
from pipelines.preview import Sample, sample
from pipelines.source import SourceConfig
from workflows.filtering import RuleShare, breakdown, counted
from workflows.lineage.plain import plain
from workflows.report.marks import spans_of

_EXAMPLES = 2
_SHOWN = 240
"""Characters of an example's text."""
_BEFORE = 60
"""Of these, so many before the first thing that counts."""
_WORTH_TELLING = 360.0
"""Seconds of one core from which the cost is told in core-hours."""


@dataclass(frozen=True)
class Example:
    """A document that a rule drops, and how it fails it."""

    doc_id: str
    source: str
    rule: str
    feature: str
    value: float | None
    limit: float | None
    language: str | None
    text: str


@dataclass(frozen=True)
class Preview:
    """What rules do to a sample."""

    sample: Sample
    kept: int
    kept_share: float
    """Of the text of the whole source, each document weighed by what it stands for."""
    shares: list[RuleShare]
    examples: list[Example]
    """By rule, the one that is the reason most often first; of each the closest and the worst."""
    megabytes_per_second: float
    """Of text, of one core: reading and judging, without what is done once."""

    @property
    def documents(self) -> int:
        """How many were judged."""
        return count_of(self.sample.documents).rows


def preview(source: SourceConfig, config: FilterConfig, documents: int, base: Path) -> Preview:
    """Judge a sample of a source; nothing is written.

    Raises:
        InputError: as `sample`; also where a file crashes what reads it.
    """
    judge = Judge(config)
    with InChild[_Wanted, tuple[Sample, float]](_reader) as read:
        try:
            found, reading = read(_Wanted(source, documents, base))
        except CrashError as error:
            raise InputError(
                f"a file among {', '.join(source.paths)} crashes what reads it: {error}. Preview "
                "fewer files to find it; a job with --broken-files set_aside goes on without it."
            ) from None
    judge(found.documents.slice(0, 1))  # loads what is compiled or trained, once a process
    started = time.process_time()
    judged = judged_apart(found.documents, judge)
    judging = time.process_time() - started
    kept, dropped = judged.kept, judged.dropped
    shares = counted(dropped)
    judged_bytes = count_of(found.documents).bytes
    seconds = reading / max(1, found.read_text_bytes) + judging / max(1, judged_bytes)
    return Preview(
        found, kept.num_rows, _kept_share(found, kept), shares, list(_examples(dropped, shares)),
        1 / 1e6 / max(seconds, 1e-12),
    )  # fmt: skip


class _Wanted(NamedTuple):
    source: SourceConfig
    documents: int
    base: Path


def _reader() -> Callable[[_Wanted], tuple[Sample, float]]:
    return _read


def _read(wanted: _Wanted) -> tuple[Sample, float]:
    """Return a sample and the processor time that it took; in a process that may die of it."""
    started = time.process_time()
    found = sample(*wanted)
    return found, time.process_time() - started


def _kept_share(found: Sample, kept: pa.Table) -> float:
    stay = set(kept["doc_id"].to_pylist())
    weights = zip(found.documents["doc_id"].to_pylist(), found.stands_for, strict=True)
    kept_text = sum(weight for doc_id, weight in weights if doc_id in stay)
    return kept_text / max(1e-9, sum(found.stands_for))


def _examples(dropped: pa.Table, shares: list[RuleShare]) -> Iterator[Example]:
    columns = ["doc_id", "source", "rule", "feature", "value", "limit", "language", "text"]
    rows = sorted(dropped.select(columns).to_pylist(), key=_distance)
    for share in shares:
        of_rule = [row for row in rows if row["rule"] == share.rule]
        for row in of_rule[:1] + of_rule[1:][-(_EXAMPLES - 1) :]:
            yield Example(**row)


def _distance(row: dict[str, Any]) -> tuple[float, str]:
    value, limit = row["value"], row["limit"]
    return (abs(value - limit) if value is not None and limit is not None else 0.0, row["doc_id"])


def as_json(found: Preview) -> dict[str, Any]:
    """Return a preview as JSON values."""
    return {
        "documents": found.documents,
        "kept": found.kept,
        "kept_share_of_text": round(found.kept_share, 4),
        "files": found.sample.files,
        "file_bytes": found.sample.bytes,
        "text_bytes": found.sample.text_bytes,
        "not_documents": dict(found.sample.not_documents),
        "megabytes_per_second": round(found.megabytes_per_second, 1),
        "rules": [asdict(share) for share in found.shares],
        "examples": [{**asdict(one), "text": one.text[:_SHOWN]} for one in found.examples],
    }


def as_text(found: Preview, config: FilterConfig, workers: int, mark: Callable[[str], str]) -> str:
    """Return a preview to read; `mark` makes what counts for a rule stand out."""
    one = found.sample
    aside = "".join(f", {count:,} {rule}" for rule, count in one.not_documents.most_common())
    signs = {rule.name: "<" if rule.drop == "below" else ">" for rule in rules_of(config).rules}
    lines = [
        f"PREVIEW  {found.documents:,} documents of {one.places} place{'s' * (one.places != 1)} "
        f"in {one.files:,} file{'s' * (one.files != 1)} ({one.bytes / 1e6:,.1f} MB){aside}",
        "",
        breakdown(found.documents, found.kept, found.shares),
    ]
    rule = ""
    for example in found.examples:
        if example.rule != rule:
            rule = example.rule
            lines += ["", f"{rule}  ({example.feature})"]
        value = "" if example.value is None else f"{example.value:.4g} {signs.get(rule, '')} "
        limit = "" if example.limit is None else f"{example.limit:.4g}"
        lines.append(f"  {value}{limit}  {plain(example.source)}  {example.doc_id}")
        lines.append(f"    {_passage(example, signs, mark)}")
    return "\n".join([*lines, "", _estimate(found, workers), "Nothing was written."])


def _estimate(found: Preview, workers: int) -> str:
    share = found.kept_share
    rate = found.megabytes_per_second
    head = f"ESTIMATE {share:.1%} of the text stays; one core reads and judges {rate:,.1f} MB/s"
    total = found.sample.text_bytes
    if total is None:
        return f"{head}. The files do not tell how much text they hold without reading them."
    seconds = total / 1e6 / rate
    cost = f" ({seconds / 3600:,.1f} core-hours)" if seconds >= _WORTH_TELLING else ""
    return (
        f"{head}: about {total / 1e6:,.1f} MB of text, {share * total / 1e6:,.1f} MB to stay, "
        f"{_duration(seconds / workers)} on {workers} core{'s' * (workers != 1)}{cost} "
        "and the start."
    )


def _duration(seconds: float) -> str:
    for size, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{max(1.0, seconds):,.0f} s"


def _passage(one: Example, signs: Mapping[str, str], mark: Callable[[str], str]) -> str:
    is_below = signs.get(one.rule) == "<"
    return excerpt(
        one.text, mark, feature=one.feature, is_below=is_below, language=one.language or ""
    )


def excerpt(
    text: str,
    mark: Callable[[str], str],
    *,
    feature: str,
    is_below: bool = False,
    language: str = "",
) -> str:
    """Return part of a text on one line, from a little before the first thing that counts."""
    searched = text[: 100 * _SHOWN]
    spans = spans_of(feature, searched, is_below=is_below, language=language)
    start = max(0, spans[0][0] - _BEFORE) if spans else 0
    stop, at = start + _SHOWN, start
    pieces = ["… "] if start else []
    for begin, end in spans:
        if begin >= stop:
            break
        if begin >= at:
            pieces += [_line(text[at:begin]), mark(_line(text[begin : min(end, stop)]))]
            at = min(end, stop)
    pieces.append(_line(text[at:stop]))
    return "".join([*pieces, " …" if len(text) > stop else ""])


def _line(text: str) -> str:
    """Return text on one line; line feeds show, since rules count lines."""
    return "".join(c if c.isprintable() else "⏎" if c == "\n" else " " for c in text)
