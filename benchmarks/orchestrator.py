"""What the orchestrator costs beside the work: plans, no-op runs, commits; DVC in the same run.

    python -m benchmarks.orchestrator [--dvc /path/to/dvc] [--repeat 3]

Four figures, each the best of `--repeat`: `plan` and a no-op `run` of 12 built stages as whole
processes, `plan` of 1,000 built stages, the commit of an artifact of 10,000 files, and what a stage
of the runner takes beside its function. DVC's counterparts are `dvc status` and `dvc repro` on as
many stages that are up to date, and `dvc add` of a folder of as many files. DVC runs its stages one
after another as shell commands and hashes no code; it is measured because it is what people use.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.storage import Written
    from workflows.runner import RunResult
    from workflows.stage import Stage

PROJECT = Path(__file__).resolve().parents[1]
STAGES = 1000
FILES = 10_000
CHAIN = 12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dvc", help="the dvc command to measure beside us")
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llada-bench-") as scratch:
        folder = Path(scratch)
        ours = _ours(folder, chosen.repeat)
        theirs = _dvc(folder, chosen.dvc, chosen.repeat) if chosen.dvc else {}
    print(f"{'':<44}{'llada':>10}{'limit':>9}{'DVC':>10}{'ratio':>8}")
    for name, (seconds, limit) in ours.items():
        peer = theirs.get(name)
        beside = f"{peer:>8.2f} s{peer / seconds:>7.1f}x" if peer else ""
        print(f"{name:<44}{seconds:>8.2f} s{limit:>7.1f} s{beside}")
    return 0


def _ours(folder: Path, repeat: int) -> dict[str, tuple[float, float]]:
    built = _build(folder / "chain", CHAIN)
    wide = _build(folder / "wide", STAGES)
    return {
        f"plan, {CHAIN} stages, whole process": (_best(lambda: _llada(built, "plan"), repeat), 1.0),
        f"no-op run, {CHAIN} stages, whole process": (
            _best(lambda: _llada(built, "run"), repeat),
            2.5,
        ),
        f"plan, {STAGES:,} stages": (_best(lambda: _plan(wide), repeat), 2.0),
        f"commit, {FILES:,} files": (_best_of(lambda: _commit(folder), repeat), 5.0),
        "a stage beside its function": (_overhead(folder / "overhead"), 0.5),
    }


def _best(call: Callable[[], object], repeat: int) -> float:
    return _best_of(lambda: _timed(call), repeat)


def _best_of(seconds: Callable[[], float], repeat: int) -> float:
    return min(seconds() for _ in range(repeat))


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _build(folder: Path, stages: int) -> Path:
    """Write and run a recipe: one source, and a fan of filters behind one extraction."""
    from pipelines.executors import InProcess
    from tests.support.documents import write_jsonl
    from workflows.plan import Planner
    from workflows.recipe import load_recipe
    from workflows.runner import Runner

    (folder / "data").mkdir(parents=True)
    write_jsonl(folder / "data" / "a.jsonl", 8)
    lines = [
        "name: bench",
        "store: ./store",
        "stages:",
        f"  docs: {{kind: source, config: {{paths: [{folder / 'data'}]}}}}",
        "  text: {kind: extract, needs: docs}",
    ]
    lines += [
        f"  f{n}: {{kind: filter, needs: text, config: {{rules: [gopher], min_language_score: "
        f"{n / 1e6:.6f}}}}}"
        for n in range(stages - 2)
    ]
    path = folder / "bench.yaml"
    path.write_text("\n".join(lines) + "\n")
    before = Path.cwd()
    os.chdir(folder)
    try:
        recipe = load_recipe(path)
        Runner(Planner((folder / "store").resolve(), folder), InProcess()).run(recipe)
    finally:
        os.chdir(before)
    return path


def _llada(recipe: Path, verb: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run(
        [sys.executable, "-m", "workflows", verb, recipe.name],
        cwd=recipe.parent, env=environment, check=True, capture_output=True,
    )  # fmt: skip


def _plan(recipe: Path) -> None:
    from workflows.plan import Planner
    from workflows.recipe import load_recipe

    planned = Planner((recipe.parent / "store").resolve(), recipe.parent).plan(load_recipe(recipe))
    assert {one.verdict for one in planned} == {"REUSE"}, "the plan was to find all of it built"


def _commit(folder: Path) -> float:
    """Return the seconds to publish a manifest of many small files that are already written."""
    from pipelines.shards import describe
    from workflows import artifact as artifacts

    built = next(artifacts.all_artifacts(folder / "chain" / "store"))
    root = folder / "commit" / "store" / "filter" / "many-000000000000"
    shutil.rmtree(root.parent, ignore_errors=True)
    (root / "data").mkdir(parents=True)
    for number in range(FILES):
        (root / "data" / f"part-{number:05d}").write_bytes(b"%d" % number)
    started = time.perf_counter()
    files = tuple(
        describe(root, path, _written(path), "data", shard=path.name, rows=1)
        for path in sorted((root / "data").iterdir())
    )
    digest = artifacts.content_digest(files)
    manifest = built.manifest.model_copy(update={"files": files, "digest": digest})
    published = artifacts.publish(root, manifest)
    assert artifacts.missing_files(published) == []
    return time.perf_counter() - started


def _written(path: Path) -> "Written":
    from pipelines.storage import Written, hash_file

    return Written(path.stat().st_size, hash_file(path))


def _overhead(folder: Path) -> float:
    """Return what running a stage takes beside its function: lease, checks, manifest, journal."""
    from pipelines.executors import InProcess
    from workflows.journal import Journal, runs_folder
    from workflows.plan import Planner
    from workflows.recipe import load_recipe
    from workflows.runner import Runner

    path = _build(folder, 3)
    store = (folder / "store").resolve()
    recipe = load_recipe(path)
    forced = frozenset(stage.name for stage in recipe.stages)
    runner = Runner(Planner(store, folder, force=forced), InProcess())
    result = runner.run(recipe)
    events = list(Journal(runs_folder(store) / runner.run_id).events())
    span = events[-1].time - events[0].time
    bare = sum(_bare(folder, recipe.stage(done.stage.name), result) for done in result.stages)
    return (span - bare) / len(result.stages)


def _bare(folder: Path, stage: "Stage", result: "RunResult") -> float:
    """Return the seconds of a stage's function alone, on the inputs that the run gave it."""
    from pipelines.executors import InProcess
    from pipelines.workspace import Workspace
    from workflows.kinds import STAGE_KINDS

    built = {done.stage.name: done.artifact for done in result.stages}
    root = folder / "bare" / stage.kind / stage.name
    root.mkdir(parents=True)
    workspace = Workspace(
        stage=stage.name,
        root=root,
        attempt="0",
        inputs={slot: built[name].as_input() for slot, name in stage.needs.items()},
        resources=stage.resources,
        executor=InProcess(),
        base=folder,
    )
    return _timed(lambda: STAGE_KINDS[stage.kind].run(workspace, stage.config))


def _dvc(folder: Path, dvc: str, repeat: int) -> dict[str, float]:
    chain = _dvc_project(folder / "dvc-chain", dvc, CHAIN)
    wide = _dvc_project(folder / "dvc-wide", dvc, STAGES)
    many = _dvc_project(folder / "dvc-many", dvc, 1, build=False)
    (many / "data").mkdir()
    for number in range(FILES):
        (many / "data" / f"part-{number:05d}").write_bytes(b"%d" % number)
    return {
        f"plan, {CHAIN} stages, whole process": _best(
            lambda: _run(chain, dvc, "repro", "--dry"), repeat
        ),
        f"no-op run, {CHAIN} stages, whole process": _best(
            lambda: _run(chain, dvc, "repro"), repeat
        ),
        f"plan, {STAGES:,} stages": _best(lambda: _run(wide, dvc, "repro", "--dry"), 1),
        f"commit, {FILES:,} files": _timed(lambda: _run(many, dvc, "add", "data")),
    }


def _dvc_project(folder: Path, dvc: str, stages: int, *, build: bool = True) -> Path:
    folder.mkdir()
    (folder / "in.txt").write_text("x")
    lines = ["stages:"]
    for n in range(stages):
        needed = "in.txt" if n == 0 else "f0.txt"
        lines += [f"  f{n}:", f"    cmd: cp {needed} f{n}.txt", "    deps:", f"    - {needed}"]
        lines += ["    outs:", f"    - f{n}.txt"]
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    _run(folder, dvc, "init", "--no-scm", "--quiet")
    if build:  # what running the stages would leave, without a thousand shells
        for n in range(stages):
            (folder / f"f{n}.txt").write_text("x")
        _run(folder, dvc, "commit", "--force", "--quiet")
    return folder


def _run(folder: Path, *command: str) -> None:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)


if __name__ == "__main__":
    sys.exit(main())
