"""The README's commands are commands: each parses, each file it names is there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from workflows.cli import cli

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text()
LINES = re.findall(r"^llada .*?(?=\s+#|$)", README, re.MULTILINE)


def test_the_commands_are_found() -> None:
    assert len(LINES) >= 8


@pytest.mark.parametrize("line", LINES)
def test_a_command_parses(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = command.make_context(name, list(arguments))
    recipe = context.params.get("recipe")
    if recipe is not None:
        assert (PROJECT / recipe).is_file()


def test_every_folder_of_the_tree_is_there() -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    folders = re.findall(r"^(\w+)/", tree, re.MULTILINE)
    assert len(folders) == 8
    for folder in folders:
        assert (PROJECT / folder).is_dir()


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    for target in set(re.findall(r"make (demo|test|check|golden)\b", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
