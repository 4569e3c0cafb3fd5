"""Where the large files of a source can be cut: asked of many at once, and of none in this process.

To cut a Parquet, Arrow or WARC file is to look into it, which takes a while where it lies far away,
and native code does it that a file may crash. Neither is for the process that drives a run.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pipelines.deaths import CrashError, InChild
from pipelines.listed_files import SourceFile
from pipelines.reading.portion import Portion
from pipelines.reading.splitting import is_looked_into, portions_of

_TOGETHER = 256
_AT_ONCE = 16

_Split = Callable[[Sequence[SourceFile]], list[list[Portion]]]


def portions_of_all(
    files: Sequence[SourceFile], most_bytes: int, on_progress: Callable[[int, int], None]
) -> Mapping[str, list[Portion]]:
    """Return each file as `portions_of` does, by name; one that crashes its reader is not cut.

    `on_progress` is told how many of how many files were looked into; what it raises ends it.

    Raises:
        FileNotFoundError: a file is gone.
    """
    found: dict[str, list[Portion]] = {}
    asked: list[SourceFile] = []
    for file in files:
        if is_looked_into(file, most_bytes):
            asked.append(file)
        else:
            found[file.name] = portions_of(file, most_bytes)
    if not asked:
        return found
    with InChild[Sequence[SourceFile], list[list[Portion]]](partial(_Looks, most_bytes)) as split:
        for at in range(0, len(asked), _TOGETHER):
            some = asked[at : at + _TOGETHER]
            found |= dict(zip((file.name for file in some), _answers(split, some), strict=True))
            on_progress(len(found), len(files))
    return found


class _Looks:
    """What runs in the other process."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes

    def __call__(self, files: Sequence[SourceFile]) -> list[list[Portion]]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(partial(portions_of, most_bytes=self._most_bytes), files))


def _answers(split: _Split, files: Sequence[SourceFile]) -> list[list[Portion]]:
    try:
        return split(files)
    except CrashError:
        if len(files) == 1:
            return [[Portion(file=files[0])]]  # whoever reads it will say more
        half = len(files) // 2
        return [*_answers(split, files[:half]), *_answers(split, files[half:])]
