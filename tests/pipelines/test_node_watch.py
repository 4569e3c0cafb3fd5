"""The process that says why a run ended with Ray's node: ended in every order."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipelines import node_watch


@contextmanager
def _watched() -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    node = subprocess.Popen(["sleep", "60"])
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", node_watch.__file__, str(node.pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield node, watcher
    finally:
        for process in (node, watcher):
            process.kill()
            process.communicate()


def test_a_node_that_is_killed_is_told_with_what_to_do() -> None:
    with _watched() as (node, watcher):
        node.kill()
        assert watcher.stderr is not None
        assert watcher.stderr.read().decode() == node_watch.LOST


@pytest.mark.parametrize("last_word", [b"q", b""], ids=["ends it itself", "ends before it"])
def test_a_run_that_ends_first_is_followed_in_silence(last_word: bytes) -> None:
    with _watched() as (node, watcher):
        _, said = watcher.communicate(last_word, timeout=60)
        node.kill()
        assert said == b""


def test_a_node_that_was_gone_before_anyone_looked_is_told() -> None:
    node = subprocess.Popen(["true"])
    node.wait()
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE) as silent:
        assert silent.stdout is not None
        assert node_watch.ends_unexpected(node.pid, silent.stdout.fileno())
        silent.kill()
