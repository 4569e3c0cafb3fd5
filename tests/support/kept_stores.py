"""A small store as real runs leave it, and ways to make it old, for tests that keep stores."""

import calendar
import json
import os
import shutil
import time
from pathlib import Path

from pipelines.executors import InProcess
from tests.support.documents import write_jsonl
from workflows.plan import Planner
from workflows.recipe import load_recipe
from workflows.runner import Runner

RECIPE = """\
name: small
store: {store}
stages:
  docs: {{kind: source, config: {{paths: [{data}]}}}}
  text: {{kind: extract, needs: docs}}
  clean: {{kind: filter, needs: text, config: {{rules: [gopher], languages: [en],
    min_language_score: 0.1}}}}
"""


def build(home: Path) -> Path:
    """Run a recipe of three stages, then its last stage again by force: clean and clean.g2."""
    (home / "data").mkdir(parents=True)
    write_jsonl(home / "data" / "a.jsonl", 12)
    store = home / "store"
    recipe_file = home / "small.yaml"
    recipe_file.write_text(RECIPE.format(store=store, data=home / "data"))
    for force in (frozenset[str](), frozenset({"clean"})):
        planner = Planner(store, home, force=force)
        runner = Runner(planner, InProcess(), command=f"llada run {recipe_file}")
        runner.run(load_recipe(recipe_file))
    return store


def make_old(store: Path, days: float) -> None:
    """Move everything in a store into the past: events, manifests, files; no cache."""
    seconds = days * 86400
    for path in store.glob("_runs/*/events.jsonl"):
        events = [json.loads(line) for line in path.read_text().splitlines()]
        for event in events:
            event["time"] -= seconds
        path.write_text(
            "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
        )
    for path in store.glob("*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        then = calendar.timegm(time.strptime(manifest["created"][:19], "%Y-%m-%dT%H:%M:%S"))
        moved = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(then - seconds))
        path.write_text(json.dumps({**manifest, "created": f"{moved}.000000Z"}))
    shutil.rmtree(store / "_cache", ignore_errors=True)
    touch_back(store, days)


def touch_back(place: Path, days: float) -> None:
    """Move the time of every file under a place into the past."""
    then = time.time() - days * 86400
    for path in [place, *place.rglob("*")]:
        os.utime(path, (then, then))


def forget_runs(store: Path) -> None:
    """Remove the journals, so that nothing but names keeps an artifact."""
    shutil.rmtree(store / "_runs")


def tree(store: Path) -> dict[str, int]:
    """Return every file of a store with its size."""
    return {
        path.relative_to(store).as_posix(): path.stat().st_size
        for path in store.rglob("*")
        if path.is_file()
    }
