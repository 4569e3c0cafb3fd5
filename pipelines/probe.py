"""Prove that a store keeps what everything rests on: one winner a name, what is written is read.

Used by `llada doctor`. A server that only claims to be S3 fails here, not in the middle of a run.
"""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.storage import StorePath

_RACERS = 8


@dataclass(frozen=True)
class Check:
    """One promise of a store: what was found, and what is allowed."""

    name: str
    ok: bool
    found: str
    allowed: str


def probe(root: StorePath) -> list[Check]:
    """Write, create twice, race, read, list and delete under `<root>/_probe`; leaves nothing there.

    Never raises for a store that fails: the checks say so, and end at the first refusal.
    """
    folder = root / "_probe" / uuid.uuid4().hex
    checks: list[Check] = []
    try:
        for name, allowed, measure in _MEASURES:
            found = measure(folder)
            checks.append(Check(name, found == allowed, found, allowed))
    except StoreError as error:
        checks.append(Check(name, False, str(error), allowed))
    finally:
        _clean(folder)
    return checks


def _create(folder: StorePath) -> str:
    first, second = (storage.put_if_absent(folder / "one", text) for text in (b"first", b"second"))
    return f"created: {first}, created again: {second}"


def _race(folder: StorePath) -> str:
    with ThreadPoolExecutor(_RACERS) as pool:
        wins = list(
            pool.map(lambda i: storage.put_if_absent(folder / "raced", b"%d" % i), range(_RACERS))
        )
    return f"{sum(wins)} of {_RACERS} creators won"


def _read(folder: StorePath) -> str:
    written = storage.write_bytes(folder / "whole", bytes(range(256)) * 64)
    same = storage.hash_file(folder / "whole") == written.xxh3_128
    content = storage.read_all([folder / "one"])[folder / "one"].decode()
    return f"the first content: {content == 'first'}, the same bytes: {same}"


def _list(folder: StorePath) -> str:
    return ", ".join(storage.children(folder))


def _delete(folder: StorePath) -> str:
    _clean(folder)
    return f"{len(storage.children(folder))} left"


def _clean(folder: StorePath) -> None:
    try:
        for name in storage.children(folder):
            storage.delete(folder / name)
        for empty in (folder, folder.parent):
            storage.remove_empty(empty)
    except StoreError:
        return  # the checks already say what is wrong with this store


_MEASURES: tuple[tuple[str, str, Callable[[StorePath], str]], ...] = (
    ("create fails where the name exists", "created: True, created again: False", _create),
    ("a race has one winner", f"1 of {_RACERS} creators won", _race),
    ("what was written is read", "the first content: True, the same bytes: True", _read),
    ("what was written is listed", "one, raced, whole", _list),
    ("what was deleted is gone", "0 left", _delete),
)
