"""A record's bytes before anything parses them: what a parser that crashes takes with it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from pipelines import cpu_limit
from pipelines.bisection import MOST_QUARANTINED, QUARANTINED
from pipelines.errors import PipelineError
from pipelines.listed_files import SourceFile
from pipelines.reading.plain import readable
from pipelines.reading.portion import Reading
from pipelines.reading.records import Record, Reject, broken


class Raw(NamedTuple):
    """What a reader cut out of a file, and what makes records of it; it travels to a process."""

    file: SourceFile
    position: str
    content: bytes
    records: Callable[["Raw", Reading], Iterator[Record]]
    """A function of a module; what it yields depends on nothing else."""


Parse = Callable[[Raw], list[Record]]


class Parser:
    """Parses records as a stage reads them."""

    def __init__(self, reading: Reading, cpu_seconds: float = cpu_limit.SECONDS) -> None:
        """`cpu_seconds` and more for every byte is what a record may take: see `cpu_limit`."""
        self._reading, self._cpu_seconds = reading, cpu_seconds

    def __call__(self, raw: Raw) -> list[Record]:
        """Return the records of what was cut out of a file: one, mostly."""
        cpu_limit.begin(len(raw.content), self._cpu_seconds)
        try:
            return list(raw.records(raw, self._reading))
        finally:
            cpu_limit.end()


class OrAside:
    """Parses the records of a unit; one that its parser fails on or dies of is set aside alone."""

    def __init__(self, parse: Parse) -> None:
        self._parse, self._failed = parse, 0

    def __call__(self, raw: Raw) -> list[Record]:
        """Return its records, or one that tells what happened.

        Raises:
            PipelineError: what the parser says that a person must do: a package is missing, say.
            Exception: what it raised else, where it fails on more than MOST_QUARANTINED: then it
                is the parser that is broken, not a record.
        """
        try:
            return self._parse(raw)
        except PipelineError:
            raise
        except Exception as error:
            self._failed += 1
            if self._failed > MOST_QUARANTINED:
                raise
            return [_quarantined(raw, f"{type(error).__name__}: {error}")]


def _quarantined(raw: Raw, error: str) -> Reject:
    found = broken(raw.file, raw.position, error, readable(raw.content))
    return replace(found, rule=QUARANTINED, feature="error")
