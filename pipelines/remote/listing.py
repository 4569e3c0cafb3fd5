"""Which files an address names on a server: one file, a folder, a pattern; and their versions."""

import glob
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from pipelines.errors import InputError
from pipelines.found_files import FORMAT_OF, FoundFile, format_of
from pipelines.remote.addresses import ETAG, explained, filesystem, patient, version_of


class Version(NamedTuple):
    """What a server says of a file without sending it."""

    bytes: int | None
    """None where the server does not tell."""
    name: str
    """`etag:...`; '' where it names none, or does not serve ranges: the content is to be hashed."""
    changed_ns: int | None = None
    """When it last changed (ns since 1970), where the server tells; asked where `name` is ''."""


def files_at(address: str, forced: str | None = None) -> list[tuple[FoundFile, Version]]:
    """Return the files that an address names, named relative to the folder or pattern.

    `forced` reads every file in that format, whatever its extension.

    Raises:
        InputError: nothing lies there, a pattern matches nothing, access is refused, the server
            cannot be reached, or a file named by itself is of unknown format.
    """
    if address.startswith(("http://", "https://")):
        return [_one(address, forced, version_at(address))]
    fs = filesystem(address)
    with explained(address):
        place: str = fs._strip_protocol(address)
        if glob.has_magic(address):
            root, infos = _matches(fs, place, address)
        else:
            info = _info(fs, place)
            if info["type"] == "file":
                return [_one(address, forced, _version(info))]
            root, infos = place, _under(fs, place)
        if not infos:
            raise FileNotFoundError(address)
        return list(_found(root, infos, address.partition("://")[0], forced))


def version_at(address: str) -> Version:
    """Return the version of one file as it is now.

    Raises:
        InputError: it is gone, access is refused, or the server cannot be reached.
    """
    fs = filesystem(address)
    if address.startswith(("http://", "https://")):
        return patient(lambda: _http_version(fs, address), address)
    return patient(lambda: _version(_info(fs, fs._strip_protocol(address))), address)


def _one(address: str, forced: str | None, version: Version) -> tuple[FoundFile, Version]:
    name = address.rstrip("/").rpartition("/")[2]
    format_ = forced or format_of(name)
    if format_ is None:
        raise InputError(
            f"source: {address!r} is of unknown format; the extensions known are "
            f"{', '.join(FORMAT_OF)}. Say what it is: `format: jsonl`, `lines`, `parquet`, "
            "`arrow`, `text`, `html` or `warc`."
        )
    return FoundFile(name, address, format_), version


def _found(
    root: str, infos: Mapping[str, Any], scheme: str, forced: str | None
) -> Iterator[tuple[FoundFile, Version]]:
    for path, info in sorted(infos.items()):
        if path.endswith("/"):  # an object that stands for a folder
            continue
        name = path.removeprefix(root).lstrip("/")
        format_ = forced or format_of(name)
        dropped = "" if format_ else "unknown_format"
        found = FoundFile(name, f"{scheme}://{path}", format_ or "unknown", dropped)
        yield found, _version(info)


def _matches(fs: Any, place: str, address: str) -> tuple[str, dict[str, Any]]:
    """Return where a pattern begins to vary, and the files it matches, folders with theirs."""
    root = place
    while glob.has_magic(root):
        root = root.rpartition("/")[0]
    found: dict[str, Any] = {}
    for path, info in fs.glob(place, detail=True).items():
        found.update(_under(fs, path) if info["type"] == "directory" else {path: info})
    if not found:
        raise InputError(
            f"source: the pattern {address!r} matches no file. Check the spelling (`*` matches "
            "within one folder, `**` through all of them)."
        )
    return root, found


def _under(fs: Any, place: str) -> dict[str, Any]:
    found: dict[str, Any] = fs.find(place, detail=True)
    return found


def _info(fs: Any, place: str) -> dict[str, Any]:
    """Return what is known of a file or folder, asked anew."""
    fs.invalidate_cache()
    info: dict[str, Any] = fs.info(place)
    if info["type"] == "file" and not version_of(info):  # the Hub's short answer has no version
        parent = fs.ls(place.rpartition("/")[0], detail=True)
        info = next((one for one in parent if one["name"] == info["name"]), info)
    return info


def _version(info: Mapping[str, Any]) -> Version:
    return Version(int(info["size"]), version_of(info))


def _http_version(fs: Any, address: str) -> Version:
    """Ask for one byte: the answer tells the size, the version and whether ranges are served."""
    from fsspec.asyn import sync

    async def ask() -> tuple[int, dict[str, str]]:
        session = await fs.set_session()
        async with session.get(fs.encode_url(address), headers={"Range": "bytes=0-0"}) as answer:
            if answer.status == _NO_SUCH_RANGE:  # a file of 0 bytes has no first one
                return _NO_SUCH_RANGE, dict(answer.headers)
            if answer.status in (401, 403):
                raise PermissionError(f"HTTP status {answer.status}")
            if answer.status in (404, 410):
                raise FileNotFoundError(address)
            answer.raise_for_status()
            return answer.status, dict(answer.headers)

    status, given = sync(fs.loop, ask)
    headers = {name.lower(): value for name, value in given.items()}
    etag = headers.get("etag", "").removeprefix("W/").strip('"')
    total = headers.get("content-range", "").rpartition("/")[2]
    if status in (_PARTIAL, _NO_SUCH_RANGE) and total.isdecimal():
        return Version(int(total), ETAG + etag if etag else "", _changed_ns(headers))
    length = headers.get("content-length", "")
    whole = length.isdecimal() and headers.get("content-encoding", "identity") == "identity"
    return Version(int(length) if whole else None, "", _changed_ns(headers))


def _changed_ns(headers: Mapping[str, str]) -> int | None:
    try:
        changed = parsedate_to_datetime(headers.get("last-modified", ""))
    except ValueError:
        return None
    return int(changed.timestamp()) * 10**9


_PARTIAL, _NO_SUCH_RANGE = 206, 416
