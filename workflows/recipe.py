"""A recipe names stages; this reads its YAML and says file, line and key when it cannot be."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pipelines.checks import Expectations
from pipelines.secrets import credential_in
from pipelines.storage import StorePath, read_all
from pipelines.workspace import Resources
from workflows.errors import RecipeError
from workflows.kinds import STAGE_KINDS
from workflows.matrix import expand, put
from workflows.recipe_text import KeyPath, RecipeText
from workflows.stage import Product, Stage, StageKind, nearest

Built = TypeVar("Built", bound=BaseModel)
_STAGE_KEYS = ["kind", "needs", "config", "resources", "checks"]
_RECIPE_KEYS = ["name", "store", "stages", "sweep"]


class Recipe(BaseModel):
    """Stages by name in an order in which each follows what it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    store: str = "./artifacts"
    stages: tuple[Stage, ...]

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not name or not all(c.isalnum() or c in "-_" for c in name):
            raise ValueError(f"found {name!r}; allowed: letters, digits, '-' and '_'")
        return name

    def stage(self, name: str) -> Stage:
        """Return the stage of that name; raises RecipeError naming the nearest one."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        known = [stage.name for stage in self.stages]
        raise RecipeError(
            f"recipe '{self.name}' has no stage '{name}'; it has {', '.join(known)}."
            + nearest(name, known)
        )

    def only(self, names: frozenset[str]) -> "Recipe":
        """Return the recipe cut to some stages; they must hold all that they need."""
        kept = tuple(stage for stage in self.stages if stage.name in names)
        return self.model_copy(update={"stages": kept})


def load_recipe(
    path: StorePath,
    overrides: Mapping[str, str] | None = None,
    sweeps: Mapping[str, str] | None = None,
) -> Recipe:
    """Read a recipe file.

    `overrides` are `stage.key=value` settings, `sweeps` lists of values for them, both in YAML.

    Raises:
        RecipeError: with file, line, key, value, what is allowed and the nearest known key.
        StoreError: a bucket does not answer, or refuses.
    """
    try:
        text = _content(path).decode("utf-8")
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such recipe. Recipes we ship: workflows/recipes/") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as a recipe: {error}") from error
    source = RecipeText(text, str(path))
    for setting, value in (overrides or {}).items():
        kind = credential_in(value)
        if kind is not None:
            raise RecipeError(f"--set {setting}: {_no_credential(kind)}")
        _override(source, setting, value)
    if sweeps and isinstance(source.value, dict):
        written = {axis: _yaml(f"--sweep {axis}", values) for axis, values in sweeps.items()}
        before = source.value.get("sweep") or {}
        source.value["sweep"] = {**before, **written} if isinstance(before, dict) else before
    _refuse_credentials(source, (), source.value)
    return _recipe(source)


def _content(path: StorePath) -> bytes:
    if isinstance(path, Path):
        return path.read_bytes()
    found = read_all([path])
    if path not in found:
        raise FileNotFoundError(path)
    return found[path]


def _refuse_credentials(source: RecipeText, at: KeyPath, value: Any) -> None:
    """Refuse what looks like a secret before any message could show it or any record keep it."""
    if isinstance(value, dict):
        for key, child in value.items():
            _refuse_credentials(source, at, str(key))
            _refuse_credentials(source, (*at, str(key)), child)
    elif isinstance(value, list):
        for number, child in enumerate(value):
            _refuse_credentials(source, (*at, number), child)
    elif isinstance(value, str) and (kind := credential_in(value)) is not None:
        raise source.error(at, _no_credential(kind))


def _no_credential(kind: str) -> str:
    return (
        f"found {kind} (not shown). Recipes and settings are recorded, so they hold references "
        "only: put the value in an environment variable and write env:NAME"
    )


def _override(source: RecipeText, setting: str, value: str) -> None:
    stage, _, key = setting.partition(".")
    if not key:
        raise RecipeError(f"--set {setting}={value}: found no '.'; write --set STAGE.KEY=VALUE")
    stages = source.value.get("stages") if isinstance(source.value, dict) else None
    if not isinstance(stages, dict) or stage not in stages:
        known = sorted(stages) if isinstance(stages, dict) else []
        raise RecipeError(
            f"--set {setting}={value}: {source.file} has no stage '{stage}'; it has "
            f"{', '.join(known)}." + nearest(stage, known)
        )
    try:
        put(stages[stage], key, _yaml(f"--set {setting}", value))
    except ValueError as error:
        raise source.error(("stages", stage), f"--set {setting}={value}: {error}") from error


def _yaml(setting: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"{setting}={value}: the value is not valid YAML") from error


def _recipe(source: RecipeText) -> Recipe:
    value = source.value
    if not isinstance(value, dict):
        raise source.error((), "found no mapping; a recipe has the keys name, store and stages")
    _known_keys(source, (), value, _RECIPE_KEYS)
    stages = value.get("stages")
    if not isinstance(stages, dict) or not stages:
        raise source.error(("stages",), "found no stages; write `stages:` with one key a stage")
    _check_names(source, stages)
    bodies, origins = _swept(source, stages, value.get("sweep"))
    built = [_stage(source, name, body, bodies, origins[name]) for name, body in bodies.items()]
    ordered = _in_order(source, built)
    fields = {key: value[key] for key in ("name", "store") if key in value}
    try:
        return Recipe(stages=tuple(ordered), **fields)
    except ValidationError as error:
        raise _explained(source, (), error, _RECIPE_KEYS) from error


def _check_names(source: RecipeText, stages: dict[str, Any]) -> None:
    for name, body in stages.items():
        at: KeyPath = ("stages", name)
        if not name or not all(c.isalnum() or c in "-_" for c in name):
            raise source.error(at, "a stage's name is made of letters, digits, '-' and '_'")
        if not isinstance(body, dict):
            raise source.error(at, "found no mapping; write {kind: ..., needs: ..., config: {...}}")


def _swept(
    source: RecipeText, stages: dict[str, Any], sweep: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    if sweep is None:
        sweep = {}
    if not isinstance(sweep, dict):
        raise source.error(("sweep",), "found no mapping; write {STAGE.KEY: [value, value], ...}")
    for axis, values in sweep.items():
        stage, _, key = str(axis).partition(".")
        if stage not in stages or not key:
            raise source.error(
                ("sweep", axis), "names no STAGE.KEY of this recipe." + nearest(stage, list(stages))
            )
        if not isinstance(values, list) or not values:
            raise source.error(("sweep", axis), f"found {values!r}; write a list of values")
    try:
        return expand(stages, sweep)
    except ValueError as error:
        raise source.error(("sweep",), str(error)) from error


def _stage(source: RecipeText, name: str, body: Any, stages: dict[str, Any], origin: str) -> Stage:
    at: KeyPath = ("stages", origin)
    _known_keys(source, at, body, _STAGE_KEYS)
    kind_name = str(body.get("kind", ""))
    if kind_name not in STAGE_KINDS:
        known = sorted(STAGE_KINDS)
        found = f"found {kind_name!r}" if kind_name else "no kind given"
        raise source.error(
            (*at, "kind"), f"{found}; allowed: {', '.join(known)}." + nearest(kind_name, known)
        )
    kind = STAGE_KINDS[kind_name]
    needs = _needs(source, at, kind, body.get("needs"), stages)
    config = _build_model(source, (*at, "config"), kind.config, body.get("config") or {})
    given = body.get("resources") or {}
    if isinstance(given, dict):
        given = {"cpus_per_worker": kind.cpus_per_worker, **given}
    resources = _build_model(source, (*at, "resources"), Resources, given)
    checks = _build_model(source, (*at, "checks"), Expectations, body.get("checks") or {})
    return Stage(
        name=name,
        kind=kind_name,
        config=config,
        needs=needs,
        resources=resources,
        checks=checks,
        origin=origin,
    )


def _needs(
    source: RecipeText, stage: KeyPath, kind: StageKind, needs: Any, stages: dict[str, Any]
) -> dict[str, str]:
    at: KeyPath = (*stage, "needs")
    if needs is None:
        needs = {}
    takes = kind.takes if kind.takes_many is None else _free_slots(source, at, kind, needs)
    if isinstance(needs, str):
        required = [slot for slot in takes if slot not in kind.optional]
        if len(required) != 1:
            raise source.error(
                at, f"found one stage; name each slot: {{{', '.join(f'{s}: ...' for s in takes)}}}"
            )
        needs = {required[0]: needs}
    if not isinstance(needs, dict):
        raise source.error(at, f"found {needs!r}; write a stage's name or {{slot: stage, ...}}")
    _known_keys(source, at, needs, list(takes))
    for slot, product in takes.items():
        if slot not in needs:
            if slot in kind.optional:
                continue
            raise source.error(at, f"the slot '{slot}' ({product}) is missing")
        _check_producer(source, (*at, slot), needs[slot], product, stages)
    return dict(needs)


def _check_producer(
    source: RecipeText, at: KeyPath, producer: Any, product: str, stages: dict[str, Any]
) -> None:
    if not isinstance(producer, str):
        raise source.error(at, f"found {producer!r}; write the name of one stage")
    if producer not in stages:
        raise source.error(at, f"no stage '{producer}'." + nearest(producer, list(stages)))
    body = stages[producer]
    kind = str(body.get("kind")) if isinstance(body, dict) else ""
    if kind in STAGE_KINDS and STAGE_KINDS[kind].makes != product:
        raise source.error(
            at,
            f"the slot takes {product}, but '{producer}' ({kind}) makes {STAGE_KINDS[kind].makes}",
        )


def _free_slots(
    source: RecipeText, at: KeyPath, kind: StageKind, needs: Any
) -> Mapping[str, Product]:
    """Return the slots that a recipe names for a kind with `takes_many`."""
    product = kind.takes_many
    assert product is not None
    if isinstance(needs, str):
        return {product: product}
    if not needs:
        raise source.error(at, f"found no stage; write {{name: stage, ...}}, {product} each")
    for slot in needs if isinstance(needs, dict) else ():
        if not slot or not all(c.isalnum() or c in "-_" for c in slot):
            raise source.error((*at, slot), "a slot's name is made of letters, digits, '-' and '_'")
    return dict.fromkeys(needs, product) if isinstance(needs, dict) else {}


def _in_order(source: RecipeText, stages: list[Stage]) -> list[Stage]:
    by_name = {stage.name: stage for stage in stages}
    graph = {stage.name: list(stage.needs.values()) for stage in stages}
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise source.error(("stages",), f"the stages need each other in a circle: {circle}") from (
            error
        )


def _known_keys(source: RecipeText, at: KeyPath, found: dict[str, Any], known: list[str]) -> None:
    for key in found:
        if key not in known:
            allowed = ", ".join(known) or "nothing"
            raise source.error(
                (*at, key), f"unknown key; allowed: {allowed}." + nearest(key, known)
            )


def _build_model(source: RecipeText, at: KeyPath, model: type[Built], value: Any) -> Built:
    if not isinstance(value, dict):
        raise source.error(at, f"found {value!r}; a mapping is needed")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _explained(source, at, error, list(model.model_fields)) from error


def _explained(
    source: RecipeText, at: KeyPath, error: ValidationError, known: list[str]
) -> RecipeError:
    first = error.errors()[0]
    path = (*at, *first["loc"])
    if first["type"] == "extra_forbidden":
        known_here = known if len(first["loc"]) == 1 else []
        allowed = f"; allowed: {', '.join(known_here)}." if known_here else "."
        return source.error(path, f"unknown key{allowed}" + nearest(str(path[-1]), known_here))
    if first["type"] == "missing":
        return source.error(path, "is missing and has no default")
    said = first["msg"].removeprefix("Value error, ")
    shown = repr(first.get("input"))
    found = f"found {shown if len(shown) < 200 else shown[:200] + '...'}; "
    return source.error(
        path, said if said.startswith("found ") or not first["loc"] else found + said
    )
