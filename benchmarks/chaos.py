"""Chaos: kill -9 at every step of the store's protocol and at random moments, then compare.

    python -m benchmarks.chaos [--kills 36] [--seed 0] [--folder DIR] [--without-training]

Runs a small recipe undisturbed on Ray, then again and again with one kill each: first one at each
step of the protocol (`chaos_hook/sitecustomize.py`), then at random moments, at the driver, a
worker, Ray's node or everything at once. A run survives its workers; Ray's node on this machine
takes the driver with it. After each kill the same command is run again, until the recipe is done;
then a fresh store is begun. It fails unless every finished store holds the undisturbed
digests, every manifest's files are there, and each kill cost at most one shard a worker or one
checkpoint interval.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos_hook.sitecustomize import STEPS
from benchmarks.victims import VICTIMS, strike
from workflows.artifact import all_artifacts, missing_files

HOOK = Path(__file__).resolve().parent / "chaos_hook"
PROJECT = HOOK.parents[1]
WORKERS = 2
CHECKPOINT_EVERY = 4
ENDS = {"worker": {0}, "node": {0, 1}}
"""How a run may end by the victim of its kill; else: by itself, or by the kill."""
NODE_LOST = "Ray's node on this machine ended"
RECIPE = """\
name: chaos
store: ./store
stages:
  docs: {kind: source, config: {paths: [../data]}}
  text: {kind: extract, needs: docs, config: {unit_bytes: 6500}}
  clean: {kind: filter, needs: text, config: {rules: [gopher], min_language_score: 0.1}}
  unique: {kind: dedup, needs: clean}
  bpe: {kind: tokenizer, needs: unique, config: {vocab_size: 400}}
  tokens:
    kind: tokens
    needs: {documents: unique, tokenizer: bpe}
    config: {sequence_length: 64, validation_share: 0.1}
"""
TRAINING = f"""\
  base:
    kind: pretrain
    needs: tokens
    config:
      model: tiny
      steps: 16
      batch_size: 8
      micro_batch_size: 4
      precision: fp32
      checkpoint_every: {CHECKPOINT_EVERY}
      schedule: {{peak: 1.0e-3, lower: null, final: 1.0e-4, warmup_steps: 2}}
"""


@dataclass(frozen=True)
class Kill:
    """Where to strike: a step of the protocol, or a victim after some seconds."""

    seed: int
    step: str = ""
    nth: int = 1
    victim: str = ""
    share: float = 0.0
    """Of an undisturbed run's seconds; of a resumed run's, by the stages that are left."""

    def __str__(self) -> str:
        where = f"{self.step} no. {self.nth}" if self.step else f"{self.victim} at {self.share:.0%}"
        return f"seed {self.seed}: {where}"


@dataclass
class Tally:
    """What the kills cost."""

    kills: int = 0
    missed: list[Kill] = field(default_factory=list)
    stores: int = 0
    problems: list[str] = field(default_factory=list)
    shards_again: int = 0
    steps_again: int = 0


def plan_of(kills: int, seed: int, *, training: bool) -> list[Kill]:
    """Return a kill at every step of the protocol, then at random moments; all from one seed."""
    steps = [step for step in STEPS if training or step != "checkpoint-link"]
    planned = []
    for number in range(kills):
        rng = random.Random(f"{seed}-{number}")
        if number < len(steps):
            planned.append(Kill(seed, step=steps[number], nth=rng.randint(1, 3)))
        else:
            planned.append(at_a_moment(seed, rng))
    return planned


def at_a_moment(seed: int, rng: random.Random) -> Kill:
    """Return the kill of a random victim at a random moment."""
    return Kill(seed, victim=rng.choice(VICTIMS), share=rng.uniform(0.05, 0.95))


@dataclass(frozen=True)
class Job:
    """What is run again and again: `llada ARGUMENTS`, into `store`, beside the folder `data`."""

    arguments: tuple[str, ...]
    write_corpus: Callable[[Path], None]
    recipe: str = ""


def recipe_job(*, training: bool) -> Job:
    """Return the job of the small recipe over made-up documents."""

    def write(folder: Path) -> None:
        from tests.support.documents import write_jsonl

        for number in range(6):
            write_jsonl(folder / f"{number}.jsonl", 8, start=number * 100)

    return Job(("run", "chaos.yaml"), write, RECIPE + (TRAINING if training else ""))


class Chaos:
    """Runs a job in numbered folders beside one corpus."""

    def __init__(self, folder: Path, job: Job, *, say: bool = True) -> None:
        self._folder, self._job = folder, job
        self._say = say
        (folder / "data").mkdir(parents=True)
        job.write_corpus(folder / "data")
        started = time.monotonic()
        self._begin("undisturbed")
        self._finish(self._run(self._folder / "undisturbed"), Kill(0))
        self.seconds = time.monotonic() - started
        self.expected = digests(folder / "undisturbed" / "store")
        self.tally = Tally()

    def strike_all(self, kills: list[Kill], enough: int | None = None) -> Tally:
        """Carry out the kills, in stores that live until their recipe is done.

        `enough`: stop after so many that struck; a moment after the end of a run strikes nothing.
        """
        current: Path | None = None
        struck: list[Kill] = []
        for number, kill in enumerate(kills):
            if self.tally.kills == enough:
                break
            if current is None:
                current, struck = self._begin(f"{number:03d}"), []
            if self._strike(current, kill):
                struck.append(kill)
                self.tally.kills += 1
            else:
                self.tally.missed.append(kill)
            self._print(f"{number + 1:>3}/{len(kills)} {kill}: {self._state(current)}")
            if digests(current / "store").keys() == self.expected.keys():
                self._check(current, struck)
                current = None
        if current is not None:
            self._finish(self._run(current), kills[-1])
            self._check(current, struck)
        return self.tally

    def _begin(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        if self._job.recipe:
            (folder / "chaos.yaml").write_text(self._job.recipe)
        return folder

    def _strike(self, folder: Path, kill: Kill) -> bool:
        """Run once with a kill; True where something was killed."""
        mark = folder / "killed.json"
        mark.unlink(missing_ok=True)
        plan = {"store": str(folder / "store"), "step": kill.step, "nth": kill.nth}
        chaos = json.dumps({**plan, "killed": str(mark)}) if kill.step else ""
        run = self._run(folder, chaos)
        if kill.step:
            self._finish(run, kill, {0, -signal.SIGKILL})
            return mark.exists()
        left = 1 - len(digests(folder / "store")) / len(self.expected)
        time.sleep(kill.share * self.seconds * left)
        hit = strike(run, kill.victim, random.Random(repr(kill)))
        code = self._finish(run, kill, ENDS.get(kill.victim, {0, -signal.SIGKILL}))
        said = (folder / "log.txt").read_text()
        if code == 1 and NODE_LOST not in said:
            last = said.strip().splitlines()[-1:]
            self.tally.problems.append(f"{kill}: the run ended without saying why, after {last}")
        return hit

    def _run(self, folder: Path, chaos: str = "") -> subprocess.Popen[bytes]:
        paths = [str(HOOK), str(PROJECT)] if chaos else [str(PROJECT)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "LLADA_CHAOS": chaos}
        environment["LLADA_LEASE_TTL"] = "6"  # a beat a second, so that one can be struck
        with (folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "workflows", *self._job.arguments],
                cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def _finish(
        self, run: subprocess.Popen[bytes], kill: Kill, allowed: Collection[int] = (0,)
    ) -> int:
        code = run.wait(timeout=600)
        if code not in allowed:
            self.tally.problems.append(f"{kill}: the run ended with {code}")
        return code

    def _state(self, folder: Path) -> str:
        done = digests(folder / "store")
        return f"{len(done)} of {len(self.expected)} stages published"

    def _check(self, folder: Path, struck: list[Kill]) -> None:
        store = folder / "store"
        self.tally.stores += 1
        again, steps = work_done_again(store)
        self.tally.shards_again += again
        self.tally.steps_again += steps
        problems = list(_problems(store, self.expected))
        if again > WORKERS * len(struck):
            problems.append(f"{again} shards were done again after {len(struck)} kills")
        if steps > CHECKPOINT_EVERY * len(struck):
            problems.append(f"{steps} steps were done again after {len(struck)} kills")
        kills = "; ".join(map(str, struck))
        self.tally.problems += [f"{folder.name} ({kills}): {problem}" for problem in problems]
        if not problems:
            shutil.rmtree(folder, ignore_errors=True)  # a mirror to MLflow may still write there

    def _print(self, line: str) -> None:
        if self._say:
            print(line, flush=True)


def digests(store: Path) -> dict[str, str]:
    """Return stage -> content digest of what is published."""
    return {a.manifest.name: a.manifest.digest for a in all_artifacts(store)}


def work_done_again(store: Path) -> tuple[int, int]:
    """Return the shards, and the training steps, that were computed more than once."""
    shards: Counter[str] = Counter()
    for path in store.glob("*/*/data/part-*"):
        found = re.fullmatch(r"part-(.+)\.[0-9a-f]{8}\.\w+", path.name)
        if found:
            shards[f"{path.parent}/{found[1]}"] += 1
    steps: Counter[int] = Counter()
    for path in store.glob("pretrain/*/checkpoints/metrics.jsonl"):
        steps.update(int(step) for step in re.findall(r'"step":(\d+)', path.read_text()))
    return sum(n - 1 for n in shards.values()), sum(n - 1 for n in steps.values())


def _problems(store: Path, expected: dict[str, str]) -> Iterator[str]:
    found = digests(store)
    for stage, digest in expected.items():
        if found.get(stage) != digest:
            yield f"{stage} has the digest {found.get(stage, 'none')[:12]}, not {digest[:12]}"
    seen: Counter[str] = Counter()
    for artifact in all_artifacts(store):
        seen[artifact.manifest.name] += 1
        for name in missing_files(artifact):
            yield f"{artifact.folder.name} lacks {name}"
        data = [entry for entry in artifact.manifest.files if entry.role == "data"]
        if len({entry.shard for entry in data}) != len(data):
            yield f"{artifact.folder.name} names a shard twice"
    yield from (f"{stage} was published {n} times" for stage, n in seen.items() if n > 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=36)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("LLADA_KILL_SEED", "0")))
    parser.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    parser.add_argument("--without-training", action="store_true")
    chosen = parser.parse_args()
    training = not chosen.without_training
    kills = plan_of(2 * chosen.kills, chosen.seed, training=training)
    return carry_out(recipe_job(training=training), kills, chosen.kills, chosen.folder)


def carry_out(job: Job, kills: list[Kill], enough: int, folder: Path | None) -> int:
    """Kill a job until `enough` kills struck, print what that cost; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="llada-chaos-", ignore_cleanup_errors=True) as scratch:
        started = time.monotonic()
        chaos = Chaos((folder or Path(scratch)) / "runs", job)
        print(f"undisturbed: {len(chaos.expected)} stages in {chaos.seconds:.1f} s")
        tally = chaos.strike_all(kills, enough)
        for kill in tally.missed:
            print(f"struck nothing: {kill}")
        for problem in tally.problems:
            print(f"PROBLEM {problem}")
        print(
            f"{tally.kills} kills (seed {kills[0].seed}) in {tally.stores} stores, "
            f"{time.monotonic() - started:.0f} s: {len(tally.problems)} problems; done again: "
            f"{tally.shards_again} shards, {tally.steps_again} training steps"
        )
        return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
