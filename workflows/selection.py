"""Selectors name stages: `clean`, `+clean` and what it needs, `clean+` and what follows, `cl*`."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from workflows.errors import UsageError
from workflows.recipe import Recipe
from workflows.stage import nearest


def select(recipe: Recipe, selectors: str, option: str) -> frozenset[str]:
    """Return the names that comma-separated selectors choose; '' chooses none.

    Raises:
        UsageError: a selector matches no stage; names `option` and the nearest stage.
    """
    chosen: set[str] = set()
    for selector in (part.strip() for part in selectors.split(",")):
        if selector:
            chosen |= _select(recipe, selector, option)
    return frozenset(chosen)


def with_ancestors(recipe: Recipe, names: Iterable[str]) -> frozenset[str]:
    """Return stages and all that they need, directly or not."""
    return _closure(names, {stage.name: list(stage.needs.values()) for stage in recipe.stages})


def with_descendants(recipe: Recipe, names: Iterable[str]) -> frozenset[str]:
    """Return stages and all that follow from them."""
    users: dict[str, list[str]] = {stage.name: [] for stage in recipe.stages}
    for stage in recipe.stages:
        for needed in stage.needs.values():
            users[needed].append(stage.name)
    return _closure(names, users)


def _select(recipe: Recipe, selector: str, option: str) -> frozenset[str]:
    pattern = selector.removeprefix("+").removesuffix("+")
    known = [stage.name for stage in recipe.stages]
    named = [name for name in known if fnmatchcase(name, pattern)]
    # A swept stage answers to the name it has in the recipe: all its variants.
    named = named or [stage.name for stage in recipe.stages if stage.origin == pattern]
    if not named:
        raise UsageError(
            f"{option} {selector}: recipe '{recipe.name}' has no stage '{pattern}'; it has "
            f"{', '.join(known)}. Selectors are NAME, +NAME (with what it needs), NAME+ (with what "
            f"follows) and patterns like 'cl*'." + nearest(pattern, known)
        )
    chosen = frozenset(named)
    if selector.startswith("+"):
        chosen |= with_ancestors(recipe, named)
    if selector.endswith("+"):
        chosen |= with_descendants(recipe, named)
    return chosen


def _closure(names: Iterable[str], edges: Mapping[str, list[str]]) -> frozenset[str]:
    reached = set(names)
    waiting = list(reached)
    while waiting:
        for other in edges[waiting.pop()]:
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    return frozenset(reached)
