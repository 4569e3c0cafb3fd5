"""What a person sees of a look at sources: how far it is, and nothing of it afterwards."""

import io
from pathlib import Path

import pytest

from pipelines.workspace import Progress
from tests.support.runs import load
from workflows.stage import Stage
from workflows.terminal import Terminal

RECIPE = """\
name: small
store: store
stages:
  docs: {kind: source, config: {paths: [data]}}
"""
WHOLE = Progress(2000, 2000, "MB hashed")


class Screen(io.StringIO):
    """Keeps what is written to a terminal, or to a log."""

    def __init__(self, *, live: bool) -> None:
        super().__init__()
        self._live = live

    def isatty(self) -> bool:
        return self._live


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    (tmp_path / "small.yaml").write_text(RECIPE)
    return load(tmp_path / "small.yaml").stages[0]


def test_a_long_look_is_shown_and_wiped(stage: Stage) -> None:
    screen = Screen(live=True)
    terminal = Terminal(screen, pause=0)
    for done in (500, 1000):
        terminal.listed(stage, Progress(done, 2000, "MB hashed"))
    first, second = screen.getvalue().split("\r\x1b[2K")[1:]
    assert first.split() == ["docs", "500/2,000", "MB", "hashed", "(25%)"]
    assert second.split()[:5] == ["docs", "1,000/2,000", "MB", "hashed", "(50%),"]
    assert second.endswith("left")
    terminal.listed(stage, WHOLE)
    assert screen.getvalue().endswith("left\r\x1b[2K")


@pytest.mark.parametrize("live", [True, False])
def test_what_takes_a_moment_is_not_shown(stage: Stage, live: bool) -> None:
    screen = Screen(live=live)
    terminal = Terminal(screen, pause=60)
    for progress in (Progress(500, 2000, "MB hashed"), WHOLE):
        terminal.listed(stage, progress)
    assert screen.getvalue() == ("\r\x1b[2K" if live else "")


def test_a_log_has_a_line_now_and_then(stage: Stage) -> None:
    log = Screen(live=False)
    terminal = Terminal(log, pause=0)
    terminal.listed(stage, Progress(500, 2000, "MB hashed"))
    terminal.listed(stage, WHOLE)
    assert log.getvalue().split() == ["docs", "500/2,000", "MB", "hashed", "(25%)"]


def test_what_is_counted_next_has_a_rate_of_its_own(stage: Stage) -> None:
    log = Screen(live=False)
    terminal = Terminal(log, pause=0)
    for progress in (
        Progress(200, 300, "files looked into"),
        Progress(0, 50, "units"),
        Progress(10, 50, "units"),
    ):
        terminal.progressed(stage, progress)
    last = log.getvalue().splitlines()[-1]
    assert "10/50 units (20%), " in last
    assert last.endswith("left")
