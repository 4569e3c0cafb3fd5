"""List the files a run starts from, with their content hashes: the listing is the artifact.

The digest counts names, sizes, formats and content, not where the files lie: a moved folder leaves
everything downstream as it is.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines import schemas, storage
from pipelines.errors import InputError
from pipelines.found_files import FoundFile, files_of
from pipelines.installed_packages import ALL, package_files
from pipelines.ledger import Count, Ledger
from pipelines.listed_files import DroppedFile, SourceFile, Survey
from pipelines.remote.addresses import check_address, is_remote
from pipelines.remote.copies import downloaded
from pipelines.remote.listing import Version, files_at
from pipelines.shards import ShardFiles
from pipelines.source_hashes import SourceHashes, Stamp
from pipelines.workspace import Progress, StageOutput, Workspace


class SourceConfig(BaseModel):
    """Which files: on this machine, on servers, or the documentation in installed packages."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    paths: tuple[str, ...] = ()
    """Files, folders and patterns, relative to where the command runs; or addresses of them:
    s3://, gs://, hf://datasets/OWNER/NAME, and https:// of single files."""
    format: Literal[
        "auto", "jsonl", "lines", "parquet", "arrow", "text", "html", "warc", "installed_packages"
    ] = "auto"
    """`auto` goes by extension; a format reads every file that way. `text` is a document a file,
    `lines` a document a line."""
    packages: tuple[str, ...] = ()
    """Distribution names; "python" is the standard library, ("*",) everything installed."""
    max_bytes_per_package: int | None = Field(default=None, ge=1)
    """Keep a sample of about so many bytes of files of each package."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.format == "installed_packages":
            self._check_packages()
        else:
            self._check_paths()
        for name in ("paths", "packages"):
            counts = Counter(getattr(self, name))
            twice = sorted(value for value, count in counts.items() if count > 1)
            if twice or "" in counts:
                found = f"{twice[0]!r} twice" if twice else "an empty string"
                raise ValueError(f"{name}: found {found}; each is named once: remove it")
        return self

    def _check_packages(self) -> None:
        if self.paths:
            raise ValueError(
                f"format 'installed_packages' with paths {list(self.paths)}; packages are found "
                "by name: remove `paths`, or choose the format auto, jsonl, parquet or text"
            )
        if not self.packages:
            raise ValueError(
                "format 'installed_packages' without packages; name distributions, for example "
                "packages: [python, numpy], or everything installed: packages: ['*']"
            )
        if ALL in self.packages and len(self.packages) > 1:
            raise ValueError(
                f"packages {list(self.packages)}: '{ALL}' already means all of them; "
                f"write ['{ALL}'] or only the names"
            )

    def _check_paths(self) -> None:
        if self.packages or self.max_bytes_per_package is not None:
            field = "packages" if self.packages else "max_bytes_per_package"
            raise ValueError(
                f"format '{self.format}' with `{field}`, which only 'installed_packages' reads; "
                f"remove `{field}` or set format: installed_packages"
            )
        if not self.paths:
            raise ValueError(
                f"format '{self.format}' without paths; name files, folders or patterns, for "
                "example paths: [data/*.jsonl.gz]"
            )
        for path in self.paths:
            if is_remote(path):
                check_address(path)


def survey(
    config: SourceConfig,
    base: Path,
    cache: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Survey:
    """Return the files of a source sorted by name, and what was left out by which rule.

    Hashes are remembered in the folder `cache`, where one is given; files that are new there are
    read, and `on_progress` is told how far that is.

    Raises:
        InputError: a path, pattern or package is missing, two files would have one name, or
            nothing is left to read.
    """
    hashes = SourceHashes(cache)
    files: list[SourceFile] = []
    dropped: list[DroppedFile] = []
    versions = _versions(config)
    on_disk = _found(config, base)
    statuses = {found.path: _status(found.path) for found in on_disk}
    wanted = [found.path for found in on_disk if not found.dropped]
    hashes.read_all({path: status for path in wanted if (status := statuses[path])}, on_progress)
    everything = [*on_disk, *(found for found, _ in versions.values())]
    for found in sorted(everything, key=lambda file: (file.name, file.path)):
        remote = versions.get(found.path)
        size, content, rule = (
            _measured_remote(found, remote[1], hashes)
            if remote
            else _measured(found, statuses[found.path], hashes)
        )
        if rule:
            dropped.append(DroppedFile(name=found.name, uri=found.path, bytes=size, rule=rule))
            continue
        if files and files[-1].name == found.name:
            raise _same_name(found, files[-1])
        files.append(_listed(found, size, content))
    hashes.save()
    if not files:
        raise _nothing_left(config, dropped)
    return Survey(files=tuple(files), dropped=tuple(dropped))


def listed_unhashed(config: SourceConfig, base: Path) -> list[SourceFile]:
    """Return the files of a source without a look into them: `xxh3_128` is '' for local ones.

    Raises:
        InputError: as `survey`, but for names that occur twice.
    """
    files, dropped = [], []
    for found, version in _versions(config).values():
        size, content, rule = _measured_remote(found, version, SourceHashes())
        if rule:
            dropped.append(DroppedFile(name=found.name, uri=found.path, bytes=size, rule=rule))
        else:
            files.append(_listed(found, size, content))
    for found in _found(config, base):
        status = _status(found.path)
        if status is None or found.dropped:
            rule = found.dropped or "not_a_file"
            dropped.append(DroppedFile(name=found.name, uri=found.path, bytes=0, rule=rule))
        else:
            files.append(_listed(found, status.st_size, ""))
    if not files:
        raise _nothing_left(config, dropped)
    return sorted(files, key=lambda file: (file.name, file.uri))


def _listed(found: FoundFile, size: int, content: str) -> SourceFile:
    return SourceFile.model_construct(  # ten thousand of them, all made here: nothing to validate
        name=found.name,
        uri=found.path,
        format=found.format,  # type: ignore[arg-type]  # one of FileFormat by construction
        bytes=size,
        xxh3_128=content,
    )


def listing(config: SourceConfig, base: Path, cache: Path | None = None) -> list[SourceFile]:
    """Return the files of a source; see `survey`."""
    return list(survey(config, base, cache).files)


def _versions(config: SourceConfig) -> dict[str, tuple[FoundFile, Version]]:
    """Return the files on servers by address, each under the first path that names it."""
    forced = None if config.format == "auto" else config.format
    found: dict[str, tuple[FoundFile, Version]] = {}
    for address in filter(is_remote, config.paths):
        for file, version in files_at(address, forced):
            found.setdefault(file.path, (file, version))
    return found


def _measured(
    found: FoundFile, status: os.stat_result | None, hashes: SourceHashes
) -> tuple[int, str, str]:
    """Return size, hash and the rule that keeps a file out, '' where it is listed."""
    if status is None:
        return 0, "", found.dropped or "not_a_file"
    if found.dropped:
        return status.st_size, "", found.dropped
    return status.st_size, hashes.of(found.path, status), ""


def _measured_remote(
    found: FoundFile, version: Version, hashes: SourceHashes
) -> tuple[int, str, str]:
    """Return the same of a file on a server: its version there, else the hash of its content."""
    if found.dropped or version.name:
        return version.bytes or 0, version.name, found.dropped
    size = version.bytes

    def read() -> str:
        nonlocal size
        with downloaded(found.path) as copy:
            size = copy.stat().st_size
            return storage.hash_file(copy)

    if version.bytes is None or version.changed_ns is None:
        content = read()
    else:
        stamp = Stamp(version.bytes, version.changed_ns, version.changed_ns)
        content = hashes.remembered(found.path, stamp, read)
    assert size is not None
    return size, content, ""


def _found(config: SourceConfig, base: Path) -> list[FoundFile]:
    if config.format == "installed_packages":
        found = package_files(config.packages, config.max_bytes_per_package)
    else:
        paths = tuple(path for path in config.paths if not is_remote(path))
        found = files_of(paths, base, None if config.format == "auto" else config.format)
    for file in found:
        try:
            file.path.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"source: the file name {file.path!a} is not UTF-8, so it cannot be written "
                "down. Rename the file."
            ) from error
    return found


def _status(path: str) -> os.stat_result | None:
    """Return the status of a regular file, None for anything else (a dangling link, a pipe)."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"source: cannot read {path}: {error.strerror}.") from error
    return status if stat.S_ISREG(status.st_mode) else None


def _same_name(one: FoundFile, other: SourceFile) -> InputError:
    return InputError(
        f"source: {other.uri} and {one.path} would both be called {one.name!r}, and a document's "
        "id is made of its file's name. Name the folder above both in `paths`, or one pattern "
        "that matches both: names are relative to what you configure."
    )


def _nothing_left(config: SourceConfig, dropped: list[DroppedFile]) -> InputError:
    where = ", ".join(config.paths or config.packages)
    rules = Counter(file.rule for file in dropped)
    left_out = ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items()))
    first = f", first {dropped[0].name!r}" if dropped else ""
    return InputError(
        f"source: no file to read in {where}: found {left_out or 'an empty folder'}{first}. Add "
        "files of a known extension (.warc, .wet, .html, .jsonl, .parquet, .arrow, .txt, .md, "
        ".rst; most also .gz and .zst), or say how to read them with `format`."
    )


def identity(
    config: SourceConfig,
    base: Path,
    cache: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Return what of the listing counts for the stage's key, as JSON values.

    Addresses count here and not in the digest: a moved folder is listed anew in a moment, and
    nothing that depends on the listing runs again.
    """
    files = survey(config, base, cache, on_progress).files
    return {
        "files": len(files),
        "bytes": sum(file.bytes for file in files),
        "content": _content(files),
        "addresses": _digest([file.uri] for file in files),
    }


def _content(files: Iterable[SourceFile]) -> str:
    return _digest([file.name, str(file.bytes), file.xxh3_128, file.format] for file in files)


def _digest(rows: Iterable[list[str]]) -> str:
    digest = xxhash.xxh3_128()
    for row in rows:
        digest.update("\0".join([*row, ""]).encode())
    return digest.hexdigest()


def run(workspace: Workspace, config: SourceConfig) -> StageOutput:
    """Write the listing as one Parquet file, and what was left out beside it."""
    workspace.on_progress(Progress(0, 1, "listings"))
    found = survey(config, workspace.base, workspace.cache, workspace.on_progress)
    files = ShardFiles(workspace.root, "00000", workspace.attempt)
    rows = [file.model_dump() for file in found.files]
    table = pa.Table.from_pylist(rows, schema=schemas.LISTING)
    files.write_parquet(table, "data", content=_content(found.files))
    if found.dropped:
        files.write_parquet(
            pa.Table.from_pylist([d.model_dump() for d in found.dropped]), "rejects"
        )
    workspace.on_progress(Progress(1, 1, "listings"))
    ledger = _ledger(found)
    return StageOutput(
        files=files.entries,
        ledger=ledger,
        metrics={"files": ledger.kept.rows, "bytes": ledger.kept.bytes},
        info={"formats": dict(sorted(Counter(file.format for file in found.files).items()))},
        schema=schemas.LISTING.to_string(),
    )


def _ledger(found: Survey) -> Ledger:
    kept = Count(rows=len(found.files), bytes=sum(file.bytes for file in found.files))
    dropped: dict[str, Count] = {}
    for file in found.dropped:
        count = dropped.get(file.rule, Count())
        dropped[file.rule] = count + Count(rows=1, bytes=file.bytes)
    entered = sum(dropped.values(), start=kept)
    return Ledger(unit="files", entered=entered, kept=kept, dropped=dropped)
