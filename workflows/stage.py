"""A stage is a value: a kind, a frozen config, the stages it needs. Making one runs nothing."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipelines.checks import Check, Expectations
from pipelines.workspace import Progress, Resources, StageOutput, Workspace

CodePolicy = Literal["rerun", "pin"]
Product = Literal["listing", "documents", "tokenizer", "tokens", "pairs", "model", "report"]


@dataclass(frozen=True)
class StageKind:
    """What a kind of stage takes, makes and runs; one row of the table in workflows/kinds.py."""

    kind: str
    config: type[BaseModel]
    run: Callable[[Workspace, Any], StageOutput]
    makes: Product
    takes: Mapping[str, Product] = field(default_factory=dict)
    takes_many: Product | None = None
    """Slots of this product that a recipe names as it likes, instead of `takes`; at least one."""
    optional: frozenset[str] = frozenset()
    """Slots that a recipe may leave open."""
    version: int = 1
    policy: CodePolicy = "rerun"
    """`rerun`: changed code is a changed key. `pin`: changed code shows as DRIFT (GPU-days)."""
    checks: tuple[Check, ...] = ()
    """Expected of the result beside what is expected of all that make the same product."""
    cpus_per_worker: float = 0.5
    """What a worker takes where the recipe does not say."""
    outside: Callable[[Any, Path, Path, Callable[[Progress], None]], object] | None = None
    """What lies outside the store and counts for the key (a source's listing), as JSON values;
    takes the config, the folder that paths are relative to, a folder to remember things in, and
    whom to tell how far it is."""
    spared_by: Callable[[Any, Any], bool] | None = None
    """Whether an artifact of the first config, made by the same code of the same inputs, spares
    work where the second is asked for (`Workspace.earlier`); None: no artifact ever does."""

    @property
    def code_name(self) -> str:
        """The dotted name of the stage function: where the code closure starts."""
        return f"{self.run.__module__}.{self.run.__qualname__}"


class Stage(BaseModel):
    """One stage of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    kind: str
    config: BaseModel
    needs: Mapping[str, str]
    """slot -> name of the stage that fills it"""
    resources: Resources = Resources()
    checks: Expectations = Expectations()
    """What is expected of the result; like `resources` never part of its identity."""
    origin: str = ""
    """The name in the recipe where this is a variant of a sweep."""

    def config_json(self) -> dict[str, Any]:
        """Return the resolved config as JSON values, defaults included."""
        return self.config.model_dump(mode="json")


def canonical(value: object) -> str:
    """Return the one JSON text of a value; raises TypeError for values without a stable form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(value: object) -> str:
    """Return the sha256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def nearest(word: str, known: list[str]) -> str:
    """Return a ' Did you mean ...?' for the nearest known word, '' where none is near."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
