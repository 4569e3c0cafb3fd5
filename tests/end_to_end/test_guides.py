"""The guides are true: each command of each page is run, and prints what the page says."""

from pathlib import Path

import pytest

from tests.support.guides import GUIDES, agrees, blocks, commands_of, run

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_says_what_happens(guide: Path, tmp_path: Path) -> None:
    remembered: dict[str, str] = {}
    for kind, body in blocks(guide.read_text()):
        if kind != "console":
            (tmp_path / kind.split("=", 1)[1]).write_text(body)
            continue
        for command in commands_of(body):
            found = run(command.line, tmp_path, remembered)
            said = "\n".join(command.printed)
            assert agrees(command.printed, found), (
                f"{guide.name}: $ {command.line}\n--- the page says\n{said}\n--- it printed\n"
                + "\n".join(found)
            )
