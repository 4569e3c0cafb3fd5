"""A comparison as a page of text and as JSON: what changed where, and what it follows from."""

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.lineage.compare import Cause, Comparison, Difference, StageChange, Where
from workflows.lineage.plain import plain
from workflows.lineage.runs import Side
from workflows.summary import table

_MOST: Mapping[Where, int] = {"code": 6, "metric": 12, "ledger": 12, "package": 12}
"""Lines shown of one sort; --json has all."""
_WIDTH = 60


def comparison_text(found: Comparison) -> str:
    """Return a comparison for people: a table of stages, what differs in each, and why."""
    rows = [
        {
            "stage": one.name,
            "state": one.state,
            "A": one.digests[0][:8] or "-",
            "B": one.digests[1][:8] or "-",
            "follows from": _why(one),
        }
        for one in found.stages
    ]
    blocks = [
        "\n".join([_side("A", found.a), _side("B", found.b)]),
        table(rows, ["stage", "state", "A", "B", "follows from"]),
        *("\n".join(_details(one)) for one in found.stages if _told(one)),
        "\n".join(_end(found)),
    ]
    return "\n\n".join(blocks)


def _side(letter: str, side: Side) -> str:
    status = f", {side.status}" if side.status else ""
    commit = f", commit {side.commit[:12]}" if side.commit else ""
    dirty = " with uncommitted changes" if side.dirty_diff else ""
    return f"{letter}  {side.title} of recipe {side.recipe}{commit}{dirty}{status}"


def _why(one: StageChange) -> str:
    if one.unexplained:
        return f"UNEXPLAINED: {one.unexplained}"
    if one.state == "same content":
        return "built otherwise, same result"
    names = list(dict.fromkeys(cause.stage for cause in one.causes))
    own = [_cause(cause) for cause in one.causes if cause.stage == one.name]
    above = [name for name in names if name != one.name]
    return "; ".join([*own[:2], *(["..."] if len(own) > 2 else []), *_follows(above)])


def _follows(names: list[str]) -> list[str]:
    return [f"follows {', '.join(names)}"] if names else []


def _cause(cause: Cause) -> str:
    return _line(cause.of)


def _told(one: StageChange) -> bool:
    return any(difference.where != "seconds" for difference in one.differences)


def _details(one: StageChange) -> Iterator[str]:
    yield f"{one.name}: {one.state}"
    shown: dict[Where, int] = {}
    for difference in one.differences:
        count = shown[difference.where] = shown.get(difference.where, 0) + 1
        if count <= _MOST.get(difference.where, 100):
            yield f"  {difference.where:<8} {_line(difference, bare=True)}"
    for where, count in shown.items():
        if count > _MOST.get(where, 100):
            yield f"  {where:<8} ... and {count - _MOST[where]} more (--json has all)"


def _line(one: Difference, *, bare: bool = False) -> str:
    prefix = "" if bare or one.where == one.field else f"{one.where}."
    if one.where == "code":
        verb = "added" if one.a is None else "removed" if one.b is None else "changed"
        return f"{'' if bare else 'code: '}{one.field} {verb}"
    return f"{prefix}{one.field}: {_short(one.a)} -> {_short(one.b)}{_delta(one)}"


def _delta(one: Difference) -> str:
    numbers = [value for value in (one.a, one.b) if isinstance(value, int | float)]
    if len(numbers) < 2 or isinstance(one.a, bool) or isinstance(one.b, bool):
        return ""
    return f"  ({one.b - one.a:+,.6g})"


def _short(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:,.6g}"
    text = plain(str(value))
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _end(found: Comparison) -> Iterator[str]:
    changed = [one for one in found.stages if one.state == "changed"]
    same = sum(one.state in ("same", "same content") for one in found.stages)
    yield f"{len(changed)} of {len(found.stages)} stages hold another result, {same} the same."
    if found.roots:
        yield "The changes follow from:"
        yield from (f"  {cause.stage}: {_cause(cause)}" for cause in found.roots[:20])
        if len(found.roots) > 20:
            yield f"  ... and {len(found.roots) - 20} more (--json has all)"
    packages = sorted({d.field for one in changed for d in one.differences if d.where == "package"})
    for one in changed:
        if one.unexplained:
            yield f"UNEXPLAINED {one.name}: {one.unexplained}"
            if packages:
                yield f"  perhaps the packages that differ: {', '.join(packages)}"


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Return what `llada diff --json` prints."""
    return {
        "a": _side_json(found.a),
        "b": _side_json(found.b),
        "stages": [
            {
                "name": one.name,
                "state": one.state,
                "digests": list(one.digests),
                "differences": [vars(difference) for difference in one.differences],
                "causes": [{"stage": c.stage, **vars(c.of)} for c in one.causes],
                "unexplained": one.unexplained or None,
            }
            for one in found.stages
        ],
        "roots": [{"stage": cause.stage, **vars(cause.of)} for cause in found.roots],
    }


def _side_json(side: Side) -> dict[str, Any]:
    names = ("title", "run_id", "recipe", "command", "commit", "dirty_diff", "status")
    return {name: getattr(side, name) for name in names}
