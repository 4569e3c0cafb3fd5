"""A plan says, before anything runs, what would be reused and what would run, and exactly why."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pipelines import storage
from pipelines.errors import InputError
from pipelines.local_copies import scratch
from pipelines.storage import StorePath
from pipelines.workspace import Progress, cache_of
from workflows import artifact as artifacts
from workflows import quarantine
from workflows.artifact import Artifact, InputRef
from workflows.code import closure as codehash
from workflows.code.memory import Closures
from workflows.earlier import sparing
from workflows.estimate import Estimate, estimate
from workflows.kinds import STAGE_KINDS
from workflows.recipe import Recipe
from workflows.stage import Stage, StageKind, fingerprint

Verdict = Literal["REUSE", "RESUME", "RUN", "MAYBE", "DRIFT"]


@dataclass(frozen=True)
class Identity:
    """What a stage's key is made of; known once the content of its inputs is."""

    key: str
    inputs: Mapping[str, InputRef]
    outside: Any
    code: codehash.CodeClosure


@dataclass(frozen=True)
class Planned:
    """What would happen to one stage. MAYBE has no identity yet: it hangs on an input's content."""

    stage: Stage
    verdict: Verdict
    why: str
    identity: Identity | None = None
    artifact: Artifact | None = None
    estimate: Estimate | None = None
    """What it will take, where there were earlier runs and there is something to do."""

    def as_json(self) -> dict[str, Any]:
        """Return the row of `llada plan --json`."""
        return {
            "name": self.stage.name,
            "kind": self.stage.kind,
            "verdict": self.verdict,
            "why": self.why,
            "key": self.identity.key if self.identity else None,
        }


class Planner:
    """Decides stage by stage; holds what it has read of the store, so that a plan reads it once."""

    def __init__(
        self,
        store: StorePath,
        base: Path,
        *,
        force: frozenset[str] = frozenset(),
        accept_drift: bool = False,
        on_listing: Callable[[Stage, Progress], None] = lambda stage, progress: None,
    ) -> None:
        """Read nothing yet; `on_listing` is told how far the look at a stage's sources is."""
        self.store = store
        self.base = base
        self._force = force
        self._accept_drift = accept_drift
        self._on_listing = on_listing
        self._closures = Closures()
        self._history: dict[tuple[str, str], list[Artifact]] = {}

    def plan(self, recipe: Recipe, *, sources_may_lack: bool = False) -> list[Planned]:
        """Plan every stage; reads the store, writes nothing, starts nothing.

        `sources_may_lack`: a source that cannot be listed is to RUN, and its row says why it cannot
        yet; what a training will take is asked long before its corpus is there.
        """
        done: dict[str, Planned] = {}
        for stage in recipe.stages:
            inputs = {slot: done[name].artifact for slot, name in stage.needs.items()}
            try:
                planned = self.decide(stage, inputs, done)
            except InputError as error:
                if not sources_may_lack:
                    raise
                planned = Planned(stage, "RUN", f"cannot be listed yet: {error}")
            if planned.verdict in ("RUN", "RESUME", "MAYBE"):
                forecast = estimate(self._earlier(stage), inputs)
                planned = replace(planned, estimate=forecast)
            done[stage.name] = planned
        self._closures.save()
        return list(done.values())

    def decide(
        self,
        stage: Stage,
        inputs: Mapping[str, Artifact | None],
        planned: Mapping[str, Planned] | None = None,
    ) -> Planned:
        """Decide one stage whose inputs are known; None among them gives MAYBE or RUN."""
        kind = STAGE_KINDS[stage.kind]
        waiting = [slot for slot, found in inputs.items() if found is None]
        if waiting:
            return self._undecided(stage, kind, waiting, planned or {})
        refs = {slot: found.ref(self.store) for slot, found in inputs.items() if found}
        outside = None
        if kind.outside:
            tell = partial(self._on_listing, stage)
            outside = kind.outside(stage.config, self.base, cache_of(self.store), tell)
        code = self._closures.of(kind.code_name)
        known = Identity(stage_key(stage, kind, refs, outside, code), refs, outside, code)
        found = artifacts.find(self.store, stage.kind, stage.name, known.key)
        if stage.name in self._force:
            return Planned(stage, "RUN", "forced", known)
        if found is None:
            return self._to_run(stage, known)
        return self._to_reuse(stage, kind, found, known)

    def _to_reuse(self, stage: Stage, kind: StageKind, found: Artifact, known: Identity) -> Planned:
        gone = artifacts.missing_files(found)
        if gone:
            why = f"{len(gone)} of its files are gone or cut short, first {gone[0]}"
            return Planned(stage, "RUN", why, known)
        producer = f"from run {found.manifest.run_id}"
        if kind.policy == "pin" and found.manifest.code_hash != known.code.digest:
            changed = codehash.difference(found.manifest.code_parts, known.code.parts)
            why = f"pinned code changed: {_few(changed)}"
            if not self._accept_drift:
                return Planned(stage, "DRIFT", why, known, found)
            producer += f" (drift accepted: {_few(changed)})"
        return Planned(stage, "REUSE", producer, known, found)

    def _to_run(self, stage: Stage, known: Identity) -> Planned:
        folders = artifacts.generations(self.store, stage.kind, stage.name, known.key)
        held = quarantine.load(folders[-1]) if folders else None
        if held is not None:
            return Planned(stage, "RESUME", f"quarantined: {held.reason}", known)
        last = folders[-1] if folders else None
        names = storage.children(last / "_shards") if last else []
        records = sum(name.endswith(".json") and not name.startswith(".") for name in names)
        trained = scratch(last / "checkpoints") if last else None
        checkpoints = len(list(trained.glob("*/COMPLETE.json"))) if trained else 0
        if records or checkpoints:
            kept = f"{records} finished shards" if records else f"{checkpoints} checkpoints"
            return Planned(stage, "RESUME", f"{kept} kept from a run that ended early", known)
        why, kind = self._why(stage, known), STAGE_KINDS[stage.kind]
        spared = sparing(stage, kind, known.inputs, known.code, self._earlier(stage))
        if spared is not None:
            why += f"; what {spared.folder.name} measured is reused"
        return Planned(stage, "RUN", why, known)

    def _why(self, stage: Stage, known: Identity) -> str:
        """Name what differs from the latest artifact of this stage: field, input or function."""
        latest = self._latest(stage)
        if latest is None:
            return "never built"
        old = latest.manifest
        reasons = [
            *_changed_fields(dict(old.config), stage.config_json(), "config"),
            *_changed_inputs(old.inputs, known.inputs),
        ]
        if old.outside != known.outside:
            reasons.append(_changed_outside(old.outside, known.outside))
        kind = STAGE_KINDS[stage.kind]
        if kind.policy == "rerun" and old.code_hash != known.code.digest:
            reasons.append("code: " + _few(codehash.difference(old.code_parts, known.code.parts)))
        if old.version != kind.version:
            reasons.append(f"version: {old.version} -> {kind.version}")
        return "; ".join(reasons) or "an earlier artifact of it was removed"

    def _undecided(
        self, stage: Stage, kind: StageKind, waiting: list[str], planned: Mapping[str, Planned]
    ) -> Planned:
        names = [stage.needs[slot] for slot in waiting]
        drifted = [name for name in names if name in planned and planned[name].verdict == "DRIFT"]
        if self._latest(stage) is None or stage.name in self._force:
            why = "forced" if stage.name in self._force else "never built"
            return Planned(stage, "RUN", f"{why}; follows {', '.join(names)}")
        latest = self._latest(stage)
        assert latest is not None
        reasons = [
            *_changed_fields(dict(latest.manifest.config), stage.config_json(), "config"),
        ]
        code = self._closures.of(kind.code_name)
        if kind.policy == "rerun" and latest.manifest.code_hash != code.digest:
            parts = codehash.difference(latest.manifest.code_parts, code.parts)
            reasons.append("code: " + _few(parts))
        if reasons:
            return Planned(stage, "RUN", "; ".join(reasons))
        state = "drift is settled in" if drifted else "the content changes of"
        return Planned(stage, "MAYBE", f"only if {state} {', '.join(names)}")

    def _latest(self, stage: Stage) -> Artifact | None:
        found = self._earlier(stage)
        return found[-1] if found else None

    def _earlier(self, stage: Stage) -> list[Artifact]:
        key = (stage.kind, stage.name)
        if key not in self._history:
            self._history[key] = artifacts.history(self.store, *key)
        return self._history[key]


def stage_key(
    stage: Stage,
    kind: StageKind,
    inputs: Mapping[str, InputRef],
    outside: Any,
    code: codehash.CodeClosure,
) -> str:
    """Return the key: what the stage is, what it reads (by content) and, under `rerun`, its code.

    Paths of the store, resources and input names do not count; TypeError for unstable values.
    """
    return fingerprint(
        {
            "kind": kind.kind,
            "version": kind.version,
            "config": stage.config_json(),
            "inputs": {slot: ref.digest for slot, ref in inputs.items()},
            "outside": outside,
            "code": code.digest if kind.policy == "rerun" else None,
        }
    )


def _changed_fields(old: dict[str, Any], new: dict[str, Any], at: str) -> Iterable[str]:
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _changed_fields(before, after, f"{at}.{name}")
        else:
            yield f"{at}.{name}: {_short(before)} -> {_short(after)}"


def _changed_inputs(old: Mapping[str, InputRef], new: Mapping[str, InputRef]) -> Iterable[str]:
    for slot in sorted(old.keys() | new.keys()):
        before, after = old.get(slot), new.get(slot)
        if before is None or after is None or before.digest != after.digest:
            left = f"{before.name}@{before.digest[:8]}" if before else "none"
            right = f"{after.name}@{after.digest[:8]}" if after else "none"
            yield f"input {slot}: {left} -> {right}"


def _changed_outside(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        return "; ".join(_changed_fields(old, new, "source"))
    return "the source changed"


def _few(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "its closure"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
