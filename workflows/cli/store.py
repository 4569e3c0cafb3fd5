"""The verbs of a store: verify, tag, pin, unpin, gc, doctor."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.errors import StoreError
from pipelines.storage import store_root
from workflows.cli import options
from workflows.errors import UsageError

if TYPE_CHECKING:
    from workflows.store.collect import Collection
    from workflows.store.refs import Ref
    from workflows.store.verify import Verification

_note = click.option("--note", default="", metavar="TEXT", help="Why, for those who come later.")


@click.command()
@click.argument("ref", required=False)
@click.option("--all", "whole", is_flag=True, help="Every artifact of the store.")
@options.store
@options.as_json
def verify(ref: str | None, whole: bool, store: str, as_json: bool) -> None:
    """Hash every file of REF, and of all it was built from, and compare with the manifests."""
    from workflows.artifact import all_artifacts
    from workflows.lineage.refs import resolve
    from workflows.store.verify import verify as verified
    from workflows.store.verify import with_ancestors

    root = store_root(store)
    if (ref is None) != whole:
        raise UsageError("verify: name one REF, or --all for the whole store")
    torn: list[StoreError] = []
    if ref is None:
        chosen = list(all_artifacts(root, damaged=torn.append))
    else:
        chosen = with_ancestors(resolve(root, ref), root)
    if not chosen and not torn:
        raise UsageError(f"there is nothing to verify in {root}: run a recipe first")
    result = verified(chosen, root, progress=_Progress())
    failed = bool(result.damaged or torn)
    if as_json:
        rows = [one.as_json() for one in result.artifacts]
        told = {"ok": not failed, "bytes": result.bytes, "seconds": result.seconds}
        unreadable = [str(error) for error in torn]
        click.echo(json.dumps({**told, "artifacts": rows, "unreadable": unreadable}, indent=1))
    else:
        click.echo(_verification(result, torn))
    sys.exit(1 if failed else 0)


def _verification(result: "Verification", torn: Sequence[StoreError]) -> str:
    lines = [f"{'DAMAGED':<8} {error}" for error in torn]
    for one in result.artifacts:
        state = "DAMAGED" if one.problems else "ok"
        lines.append(
            f"{state:<8} {one.artifact.label:<28} {one.files:>6,} files {_size(one.bytes):>10}"
        )
        lines += [f"         {problem}" for problem in one.problems]
        lines += [f"         rebuild it: {one.remedy}"] if one.remedy else []
    rate = result.bytes / result.seconds if result.seconds else 0.0
    found, bad = len(result.artifacts) + len(torn), len(result.damaged) + len(torn)
    lines.append(
        f"{found} artifacts, {bad} damaged; {_size(result.bytes)} "
        f"read in {result.seconds:.2f} s ({_size(rate)}/s)"
    )
    return "\n".join(lines)


@click.command()
@click.argument("ref", required=False)
@click.argument("name", required=False)
@_note
@click.option("--move", is_flag=True, help="Point a tag that exists to REF.")
@click.option("--list", "listing", is_flag=True, help="Show the tags of the store.")
@click.option("--delete", metavar="NAME", help="Remove a tag; what it points to stays.")
@options.store
@options.as_json
def tag(
    ref: str | None, name: str | None, *, note: str, move: bool, listing: bool,
    delete: str | None, store: str, as_json: bool,
) -> None:  # fmt: skip
    """Name the artifact REF, so that it is found by NAME and kept by gc."""
    from workflows.artifact import all_artifacts
    from workflows.lineage.refs import resolve
    from workflows.store import refs

    root = store_root(store)
    if listing and not (ref or delete):
        click.echo(_refs("tag", refs.tags(root), as_json))
    elif delete and not (ref or listing):
        gone = refs.delete_tag(root, delete)
        click.echo(f"tag '{delete}' removed; it pointed to {gone.label}")
    elif ref and name and not (listing or delete):
        stages = {artifact.manifest.name for artifact in all_artifacts(root, lambda _: None)}
        if name in stages:
            raise UsageError(f"a stage is called '{name}': choose another name for the tag")
        made = refs.tag(root, resolve(root, ref), name, note=note, move=move)
        click.echo(f"{name} -> {made.label} ({made.ref})")
    else:
        raise UsageError("tag: write REF NAME, or --list, or --delete NAME")


@click.command()
@click.argument("ref", required=False)
@_note
@click.option("--list", "listing", is_flag=True, help="Show the pins of the store.")
@options.store
@options.as_json
def pin(ref: str | None, note: str, listing: bool, store: str, as_json: bool) -> None:
    """Keep REF whole, training checkpoints included, and all it was built from."""
    from workflows.lineage.refs import resolve
    from workflows.store import refs

    root = store_root(store)
    if (ref is None) != listing:
        raise UsageError("pin: write REF, or --list")
    if ref is None:
        click.echo(_refs("pin", refs.pins(root), as_json))
        return
    made = refs.pin(root, resolve(root, ref), note=note)
    click.echo(f"pinned {made.label} ({made.ref})")


@click.command()
@click.argument("ref")
@options.store
def unpin(ref: str, store: str) -> None:
    """Let gc have REF again, when nothing else keeps it."""
    from workflows.lineage.refs import resolve
    from workflows.store import refs

    root = store_root(store)
    gone = refs.unpin(root, resolve(root, ref))
    click.echo(f"no longer pinned: {gone.label} ({gone.ref})")


def _refs(title: str, found: "Mapping[str, Ref]", as_json: bool) -> str:
    from workflows.summary import table

    if as_json:
        return json.dumps({name: ref.model_dump() for name, ref in found.items()}, indent=1)
    rows = [
        {title: name, "artifact": ref.label, "folder": ref.ref, "created": ref.created,
         "note": _plain(ref.note)}
        for name, ref in found.items()
    ]  # fmt: skip
    return table(rows, [title, "artifact", "folder", "created", "note"])


@click.command()
@click.option("--apply", is_flag=True, help="Remove it; without this, only say what would go.")
@click.option("--keep-days", type=click.FloatRange(min=0), default=14.0, show_default=True,
              help="Keep what runs of the last days made or used.")  # fmt: skip
@options.store
@options.as_json
def gc(apply: bool, keep_days: float, store: str, as_json: bool) -> None:
    """Remove what no tag, pin, recent run or live lease keeps. Says it first: see --apply."""
    from workflows.store.collect import collect, survey

    root = store_root(store)
    if not isinstance(root, Path):
        raise UsageError(
            f"gc: found the bucket {store}; only stores on local disks are collected. Use the "
            "bucket's own life-cycle rules, and `llada pin` to see what is still needed."
        )
    found = (collect if apply else survey)(root, keep_days=keep_days)
    if as_json:
        click.echo(json.dumps(_gc_json(found, apply), indent=1))
        return
    click.echo(_collection(found, root, apply))


def _gc_json(found: "Collection", applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "bytes": found.bytes,
        "rubbish": [one.as_json() for one in found.rubbish],
        "kept": dict(found.kept),
        "removed": [one.as_json() for one in found.removed],
        "spared": dict(found.spared),
    }


def _collection(found: "Collection", store: Path, applied: bool) -> str:
    from workflows.summary import table

    chosen = found.removed if applied else found.rubbish
    rows = [
        {**one.as_json(), "files": f"{len(one.files):,}", "size": _size(one.bytes)}
        for one in chosen
    ]
    lines = [table(rows, ["stage", "reason", "where", "files", "size"])] if rows else []
    lines += [f"kept     {folder}: {_plain(why)}" for folder, why in sorted(found.kept.items())]
    lines += [f"spared   {where}: {_plain(why)}" for where, why in sorted(found.spared.items())]
    for title in ("stage", "reason"):
        sums: dict[str, int] = {}
        for one in chosen:
            key = str(getattr(one, title))
            sums[key] = sums.get(key, 0) + one.bytes
        lines += [f"by {title:<7}{key}: {_size(size)}" for key, size in sorted(sums.items())]
    size = _size(sum(one.bytes for one in chosen))
    if applied:
        lines.append(f"{size} removed from {store}")
    elif chosen:
        lines.append(
            f"{size} would be removed from {store}; do it: llada gc --apply --store {store}"
        )
    else:
        lines.append(f"nothing to remove from {store}")
    return "\n".join(lines)


@click.command()
@options.store
@click.option("--address", metavar="RAY", help="Look at this Ray cluster, too.")
@options.as_json
def doctor(store: str, address: str | None, as_json: bool) -> None:
    """Check this machine, the store and the services; say of each problem what to do."""
    from pipelines.local_copies import home_of
    from workflows.store.doctor import bucket, examine

    a_file = Path(store).is_file()  # a finding here, not a refusal
    root = Path(store).resolve() if a_file else store_root(store)
    findings = examine(home_of(root), address)
    if not isinstance(root, Path):
        findings += bucket(root)
    failed = any(one.level == "FAIL" for one in findings)
    if as_json:
        rows = [one.as_json() for one in findings]
        click.echo(json.dumps({"ok": not failed, "findings": rows}, indent=1))
    else:
        click.echo("\n".join(one.line for one in findings))
    sys.exit(1 if failed else 0)


class _Progress:
    """One line on a terminal, rewritten; a plain line now and then in a log."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total:
            if self._live and self._shown > self._started:
                sys.stderr.write("\r\x1b[2K")
            return
        if now - self._shown < (0.2 if self._live else 15.0):
            return
        self._shown = now
        rate = done / (now - self._started)
        line = f"verify {_size(done)} of {_size(total)} ({done / total:.0%}), {_size(rate)}/s"
        sys.stderr.write(f"\r\x1b[2K{line}" if self._live else f"{line}\n")
        sys.stderr.flush()


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _plain(text: str) -> str:
    """Return text on one line with nothing in it that a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
