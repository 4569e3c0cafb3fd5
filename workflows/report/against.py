"""Two filters side by side, as text for a terminal and as a page: funnel, rules, flips."""

from collections.abc import Callable, Iterator
from html import escape
from typing import TypedDict

from filters.rules import Rule
from workflows.preview import excerpt
from workflows.report.flips import Comparison, Example, Flip, RuleChange, Verdict
from workflows.report.samples import marked
from workflows.report.sheet import sheet, table

_FLIPS_SHOWN = 12
_CHANGE = 22
"""Columns of a change: bytes of a corpus have fifteen digits."""


class _Looked(TypedDict):
    feature: str
    is_below: bool
    language: str


def as_text(found: Comparison, mark: Callable[[str], str]) -> str:
    """Return a comparison to read; `mark` makes what counts for a rule stand out."""
    names = [artifact.folder.name[:26] for artifact in (found.before, found.now)]
    lines = [f"{'':<34}{names[0]:>28}{names[1]:>28}{'change':>{_CHANGE}}"]
    for name, old, new in _funnel(found):
        lines.append(f"{name:<34}{old:>28,}{new:>28,}{new - old:>+{_CHANGE},}")
    moved = [change for change in found.rules if change.moved]
    if moved:
        lines += ["", "RULES THAT ARE NOT THE SAME"]
        lines += [f"  {one.name:<32}{_moved(one)}" for one in moved]
    lines += [
        "",
        f"FLIPPED {found.flipped:,} documents between kept and dropped, {found.reasons:,} dropped "
        f"by another rule, {found.same:,} same",
    ]
    for flip in found.flips[:_FLIPS_SHOWN]:
        lines.append(f"  {flip.before} -> {flip.now}: {flip.documents:,}")
        for one in flip.examples:
            lines.append(f"    {one.doc_id}  {_why(one)}")
            lines.append(f"      {excerpt(one.text, mark, **_looked_at(one))}")
    rest = found.flips[_FLIPS_SHOWN:]
    if rest:
        lines.append(f"  {len(rest)} more ways: {sum(flip.documents for flip in rest):,} documents")
    return "\n".join(lines)


def _funnel(found: Comparison) -> Iterator[tuple[str, int, int]]:
    old, new = (artifact.manifest.ledger for artifact in (found.before, found.now))
    yield "documents", old.entered.rows, new.entered.rows
    for change in found.rules:
        if change.reason_before or change.reason_now:
            yield f"  {change.name}", change.reason_before, change.reason_now
    yield "kept", old.kept.rows, new.kept.rows
    yield "kept bytes", old.kept.bytes, new.kept.bytes


def _moved(change: RuleChange) -> str:
    rule = change.now or change.before
    assert rule is not None
    if rule.limits or (change.before and change.before.limits):
        what = "limits by language or kind"
    else:
        what = f"{rule.feature} {'<' if rule.drop == 'below' else '>'}"
    return f"{what}  {_limit(change.before)} -> {_limit(change.now)}"


def _limit(rule: Rule | None) -> str:
    if rule is None:
        return "not asked"
    return f"{len(rule.limits)} limits" if rule.limits else f"{rule.limit:.6g}"


def _why(one: Example) -> str:
    return ", ".join(
        f"{when} {verdict.feature} {_number(verdict.value)} (limit {_number(verdict.limit)})"
        for when, verdict in (("before:", one.before), ("now:", one.now))
        if verdict is not None
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _looked_at(one: Example) -> _Looked:
    """Return what the rule that dropped a document looks at."""
    verdict: Verdict | None = one.now or one.before
    return {
        "feature": verdict.feature if verdict else "",
        "is_below": verdict is not None and verdict.is_below,
        "language": one.language,
    }


def as_page(found: Comparison) -> str:
    """Return a comparison as one HTML file: no script, no request, every text escaped."""
    old, new = (escape(artifact.folder.name) for artifact in (found.before, found.now))
    moved = [change for change in found.rules if change.moved]
    title = f"{found.now.folder.name} against {found.before.folder.name}"
    return sheet(
        title,
        "\n".join(
            [
                f"<h1>{escape(title)}</h1>",
                "<h2>Funnel</h2>",
                table(
                    ("", old, new, "change"),
                    (
                        (escape(name), f"{a:,}", f"{b:,}", f"{b - a:+,}")
                        for name, a, b in _funnel(found)
                    ),
                    label="Documents by rule on both sides",
                ),
                "<h2>Rules that are not the same</h2>",
                table(
                    ("rule", "limit"),
                    ((escape(one.name), escape(_moved(one))) for one in moved),
                    label="Rules with another limit, or on one side only",
                    look="reads-second",
                )
                if moved
                else '<p class="quiet">none</p>',
                "<h2>Documents that flipped</h2>",
                f'<p class="quiet">{found.flipped:,} between kept and dropped; '
                f"{found.reasons:,} dropped on both sides, by another rule; {found.same:,} "
                "documents have the same fate on both sides.</p>",
                *(_flip(flip) for flip in found.flips),
            ]
        ),
    )


def _flip(flip: Flip) -> str:
    articles = "".join(
        f'<article><p class="quiet mono">{escape(one.doc_id)} · {escape(_why(one))}</p>'
        f"<pre>{marked(text=one.text, **_looked_at(one))}</pre></article>"
        for one in flip.examples
    )
    both = "" if flip.changes_what_is_kept else ' <span class="quiet">in neither result</span>'
    return (
        f"<details><summary>{escape(flip.before)} → {escape(flip.now)}: "
        f"{flip.documents:,}{both}</summary>"
        f"{articles}</details>"
    )
