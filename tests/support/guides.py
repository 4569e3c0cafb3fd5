"""Guides whose commands are run: a page's files and commands, and its output brought up to date.

A page holds ```yaml file=NAME blocks, which are written, and ```console blocks, in which lines that
begin with `$ ` are commands and the others what they print. Figures differ from machine to
machine, so lines are compared without their numbers; a line of `...` stands for any lines.

    python -m tests.support.guides      # runs every guide and rewrites the output in it
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
GUIDES = sorted((PROJECT / "docs" / "guides").glob("*.md"))
_BLOCK = re.compile(r"^```(?P<kind>yaml file=\S+|console)\n(?P<body>.*?)^```$", re.M | re.S)
_HEAD, _TAIL = 14, 14
_PROGRESS = re.compile(r"\(\d+%\)")
_RULE = re.compile(
    r"\s+\S.*\s[\d,]+\s+[\d.]+%|  (ledger|metric|seconds) |\s+it also fails "
    r"|[a-z]\w*(\s+[\d,]+){3}\s+[\d.]+%$|  \w+(\s+[\d,]+){2}\s+[+-][\d,]+$|\s{4,}.*[⏎…]"
)
_SCRATCH = re.compile(r"/tmp/llada-again-\w+")
_OF_DOCUMENT = re.compile(r"^(source|text)\s{2,}.*")
_HEX = re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,64}\b|\b\d{6,}\b")
_UNIT = re.compile(r"\b[kMG]B\b")
_NUMBER = re.compile(r"\d[\d,.:]*")
_HOME = "/home/ana/corpus"


@dataclass(frozen=True)
class Command:
    """One command of a page and the lines that the page says it prints."""

    line: str
    printed: tuple[str, ...]


def commands_of(body: str) -> list[Command]:
    """Return the commands of a console block."""
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return [Command(line, tuple(printed)) for line, printed in found]


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, body) of the blocks that count, in order."""
    for match in _BLOCK.finditer(page):
        yield match["kind"], match["body"]


def run(command: str, folder: Path, remembered: dict[str, str]) -> list[str]:
    """Run a `llada` command in a folder; `$NAME` stands for what an earlier command printed."""
    line, _, code = command.partition("  # exits with ")
    expected = int(code or 0)
    words = [remembered.get(word.removeprefix("$"), word) for word in shlex.split(line)]
    assert words[0] == "llada", command
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-m", "workflows", *words[1:]],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
        check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == expected, f"{command}: exit {done.returncode}\n{done.stdout}"
    remember(done.stdout, remembered)
    told = done.stdout.replace(str(folder), _HOME).replace(sys.prefix, "/home/ana/.venv")
    lines = _SCRATCH.sub("/tmp/llada-again", told).splitlines()
    return [line.rstrip() for line in lines if not _PROGRESS.search(line)]


def remember(output: str, remembered: dict[str, str]) -> None:
    """Keep what later commands need: the id of a dropped document, the first filter's artifact."""
    found = re.search(r"llada explain ([0-9a-f]{32})", output)
    if found:
        remembered["DOC_ID"] = found[1]
    first = re.search(r"\bfilter/(clean-[0-9a-f]{12})\b", output)
    if first:
        remembered.setdefault("FIRST", first[1])


def shortened(lines: list[str]) -> list[str]:
    """Return at most a screen of lines."""
    if len(lines) <= _HEAD + _TAIL + 1:
        return lines
    return [*lines[:_HEAD], "...", *lines[-_TAIL:]]


def plain(line: str) -> str:
    """Return a line without what differs between machines, moments and versions of packages.

    '' where nothing is left: how often which rule struck, part of a document's text, and whether
    MLflow was done in time.
    """
    if _RULE.match(line) or line.startswith("MLflow "):
        return ""
    line = _OF_DOCUMENT.sub(r"\1", line).split(" by rule ")[0]
    line = _UNIT.sub("B", line.replace(" with uncommitted changes", ""))
    return " ".join(_NUMBER.sub("N", _HEX.sub("H", line)).split())


def agrees(printed: tuple[str, ...], found: list[str]) -> bool:
    """Whether a page says what a command prints, `...` standing for any lines."""
    told = [said for line in printed if (said := plain(line))]
    seen = [said for line in found if (said := plain(line))]
    pattern = "".join("(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in told)
    return re.fullmatch(pattern, "".join(line + "\n" for line in seen)) is not None


def rewrite(path: Path) -> None:
    """Run a guide and put into it what its commands printed."""
    page = path.read_text()
    with tempfile.TemporaryDirectory(prefix="guide-") as scratch:
        folder = Path(scratch)
        remembered: dict[str, str] = {}

        def fresh(match: re.Match[str]) -> str:
            kind, body = match["kind"], match["body"]
            if kind != "console":
                (folder / kind.split("=", 1)[1]).write_text(body)
                return match[0]
            lines = []
            for command in commands_of(body):
                lines += [f"$ {command.line}", *shortened(run(command.line, folder, remembered))]
            return "```console\n" + "\n".join(lines) + "\n```"

        path.write_text(_BLOCK.sub(fresh, page))


if __name__ == "__main__":
    for guide in GUIDES:
        print(guide.name, flush=True)
        rewrite(guide)
