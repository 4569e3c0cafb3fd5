"""A sweep: stages once for each combination of settings; what no setting touches is shared.

    sweep:
      clean.min_language_score: [0.5, 0.8]
      base.schedule.peak: [1.0e-3, 2.0e-3]

`clean` becomes two stages, `base` four, whatever needs them follows; a stage upstream of both
stays one. A variant is a stage like any other, named by its settings:
`base.min_language_score=0.5.peak=0.001`. A stage that compares them stays one, too:

    laws: {kind: scaling, needs: {every: measured}}

takes every variant of `measured`, each through a slot of its own.
"""

import copy
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

Bodies = dict[str, dict[str, Any]]
_LONGEST = 24
_EVERY = "every"
"""The key of `needs` that gathers all variants of a stage."""
_MOST = 1000
"""Variants of one stage; more is a slip of the pen."""


def expand(stages: Bodies, sweep: Mapping[str, Sequence[Any]]) -> tuple[Bodies, dict[str, str]]:
    """Return the stages of a recipe with every combination in its place.

    Args:
        stages: name -> body as written, `needs` a name, a mapping of slots, or {every: name}.
        sweep: `stage.key` -> the values it takes; every stage exists.

    Returns:
        The bodies by variant name, and for each the name it has in the recipe.

    Raises:
        ValueError: two combinations would have one name, or there are too many.
    """
    axes = _axes_of(stages, sweep)
    expanded: Bodies = {}
    origins: dict[str, str] = {}
    for name, body in stages.items():
        combinations = list(itertools.product(*(range(len(sweep[axis])) for axis in axes[name])))
        if len(combinations) > _MOST:
            raise ValueError(f"{len(combinations)} variants of '{name}'; allowed: {_MOST}")
        for picks in combinations:
            chosen = dict(zip(axes[name], picks, strict=True))
            variant = _variant(name, chosen, sweep)
            if variant in expanded:
                raise ValueError(f"two variants are called '{variant}': a value stands there twice")
            expanded[variant] = _with_settings(name, body, chosen, sweep, axes)
            origins[variant] = name
    for body in expanded.values():
        if (gathered := _gathered(body)) is not None:
            variants = [name for name, origin in origins.items() if origin == gathered]
            body["needs"] = {_slot(name): name for name in variants or [gathered]}
    return expanded, origins


def _axes_of(stages: Bodies, sweep: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return which settings reach each stage: its own, and those of all that it needs."""
    own = {name: [axis for axis in sweep if axis.split(".")[0] == name] for name in stages}
    reached: dict[str, list[str]] = {}

    def visit(name: str, path: tuple[str, ...]) -> list[str]:
        if name not in reached:
            found = set(own.get(name, ()))
            for needed in _needed(stages.get(name, {})):
                if needed in stages and needed not in path:  # a circle is the recipe's to report
                    found |= set(visit(needed, (*path, name)))
            reached[name] = [axis for axis in sweep if axis in found]
        return reached[name]

    for name in stages:
        visit(name, ())
    return reached


def _with_settings(
    name: str,
    body: dict[str, Any],
    chosen: Mapping[str, int],
    sweep: Mapping[str, Sequence[Any]],
    axes: Mapping[str, list[str]],
) -> dict[str, Any]:
    body = copy.deepcopy(body)
    for axis, pick in chosen.items():
        stage, *keys = axis.split(".")
        if stage == name:
            put(body, ".".join(keys), sweep[axis][pick])
    if _gathered(body) is not None:
        return body
    needs = body.get("needs")

    def renamed(needed: Any) -> Any:
        if not isinstance(needed, str) or needed not in axes:
            return needed
        return _variant(needed, {axis: chosen[axis] for axis in axes[needed]}, sweep)

    if isinstance(needs, str):
        body["needs"] = renamed(needs)
    elif isinstance(needs, dict):
        body["needs"] = {slot: renamed(needed) for slot, needed in needs.items()}
    return body


def put(body: Any, key: str, value: Any) -> None:
    """Set one value of a stage as written: `limits.words` of its config, or `resources.workers`.

    Raises:
        ValueError: what the key leads through is no mapping.
    """
    first, *rest = key.split(".")
    parts = [first, *rest] if first == "resources" else ["config", first, *rest]
    place = body
    for number, part in enumerate(parts):
        if not isinstance(place, dict):
            whole = ".".join(parts[:number]) or "the stage"
            kind = type(place).__name__
            raise ValueError(f"{whole} is a {kind}: it has no '{part}' to set")  # noqa: TRY004
        if number == len(parts) - 1:
            place[part] = value
        elif place.get(part) is None:
            place[part] = {}
        place = place[part]


def _variant(name: str, chosen: Mapping[str, int], sweep: Mapping[str, Sequence[Any]]) -> str:
    parts = [f"{axis.rsplit('.', 1)[1]}={_plain(sweep[axis][i])}" for axis, i in chosen.items()]
    return ".".join([name, *parts])


def _plain(value: Any) -> str:
    text = str(value)
    plain = "".join(c if c.isalnum() or c in "-_.+" else "_" for c in text)
    if plain == text and len(text) <= _LONGEST:
        return plain
    return f"{plain[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _gathered(body: Any) -> str | None:
    """Return the stage whose variants a stage takes all together, if it does."""
    needs = body.get("needs") if isinstance(body, dict) else None
    if not isinstance(needs, dict) or list(needs) != [_EVERY]:
        return None
    return needs[_EVERY] if isinstance(needs[_EVERY], str) else None


def _slot(variant: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in variant)


def _needed(body: Any) -> list[str]:
    if _gathered(body) is not None:
        return []  # what it gathers does not multiply it
    needs = body.get("needs") if isinstance(body, dict) else None
    if isinstance(needs, str):
        return [needs]
    return [n for n in needs.values() if isinstance(n, str)] if isinstance(needs, dict) else []
