"""A store in a bucket: conditional creates, whole objects, listings, and refusals as sentences.

The S3 protocol has no rename, no append and no folders. What decides anything is created by a PUT
with `If-None-Match: *`; a server that ignores the condition is found out at the first such PUT.
"""

import errno
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import StoreError

if TYPE_CHECKING:
    from upath import UPath

SCHEME = "s3://"
_PLACE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=+@-]+)*/?")
OPTIONS: Mapping[str, Any] = {
    # A listing remembered from before another writer came would hide what that one wrote.
    "use_listings_cache": False,
    # s3fs tries again on its own: these are attempts within one of its attempts.
    "config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}},
}
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted", "409")
_EXISTS = ("PreconditionFailed", "412")
_ATTEMPTS = 8
_FEW = 2
"""Up to so many objects are asked for one by one; more are found by listing their folder."""
_proven: set[tuple[str, str]] = set()
"""(endpoint, bucket) pairs known in this process to refuse a second create."""


def at(uri: str) -> "UPath":
    """Return the path of an object; asks nothing of the server."""
    try:
        import s3fs  # noqa: F401  # what UPath will ask for, asked for here to say how to get it
        from upath import UPath
    except ImportError as error:
        raise StoreError(
            f"store: found {SCHEME} and no package to speak to it ({error}). "
            "Install it: pip install 'llada-pipeline[s3]'"
        ) from error
    path: UPath = UPath(uri, **OPTIONS)
    return path


def root(uri: str) -> "UPath":
    """Return the root of a store after one request that proves that its bucket answers.

    Raises:
        StoreError: the URI holds credentials or is malformed; the bucket is missing, refuses us or
            cannot be reached.
    """
    if "@" in uri.removeprefix(SCHEME).split("/", 1)[0]:
        raise StoreError(
            "store: found credentials in the address. They never stand in a recipe or a command: "
            "remove what precedes '@', and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
            "AWS_PROFILE instead."
        )
    if not _PLACE.fullmatch(uri) or {".", ".."} & set(uri.split("/")):
        raise StoreError(
            f"store: found {re.split('[?#]', uri)[0]!r}; allowed is s3://bucket/prefix, with "
            "letters (small ones in the bucket), digits and any of '.-', in the prefix also '_=+@'."
        )
    path = at(uri.rstrip("/"))
    try:
        path.fs.call_s3("head_bucket", Bucket=_bucket(path))
    except FileNotFoundError as error:
        raise StoreError(explain(error, path, "NoSuchBucket")) from error
    except failures() as error:
        raise StoreError(explain(error, path)) from error
    return path


def create(path: "UPath", content: bytes) -> bool:
    """Create an object unless it exists; True for the one writer that created it.

    Raises:
        StoreError: the server ignores the condition, so nothing could decide between two writers.
    """
    writer = uuid.uuid4().hex
    where = (endpoint(), _bucket(path))
    if not _create(path, content, writer):
        _proven.add(where)
        # A PUT whose answer was lost is sent again and then refused, by our own object.
        return _writer_of(path) == writer
    if where not in _proven:
        if _create(path, content, writer):
            path.fs.rm_file(path.path)
            raise StoreError(
                f"{endpoint()} took {path} twice: it ignores `If-None-Match: *`, so two runs could "
                "overwrite each other. Use a server with conditional writes (AWS S3, MinIO, "
                "Ceph from Tentacle, R2), or a store on a disk."
            )
        _proven.add(where)
    return True


def _create(path: "UPath", content: bytes, writer: str) -> bool:
    for attempt in range(_ATTEMPTS):
        try:
            path.fs.pipe_file(path.path, content, mode="create", Metadata={"writer": writer})
        except OSError as error:
            if code_of(error) in _EXISTS:
                return False
            if code_of(error) not in _CONFLICTS or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.05 * 2**attempt)  # another create of this name is under way
        else:
            return True
    raise AssertionError("the last attempt returns or raises")


def _writer_of(path: "UPath") -> str | None:
    head = path.fs.call_s3("head_object", Bucket=_bucket(path), Key=_key(path))
    writer = head.get("Metadata", {}).get("writer")
    return None if writer is None else str(writer)


@contextmanager
def staged(path: "UPath") -> Iterator[Path]:
    """Yield a local file to write; it becomes the object when the block ends without an error."""
    with tempfile.TemporaryDirectory(prefix="llada-upload-") as folder:
        local = Path(folder) / path.name
        yield local
        upload(local, path)


def upload(local: Path, path: "UPath") -> None:
    """Write an object from a local file: visible once complete, as one PUT or one multipart."""
    path.fs.put_file(str(local), path.path)


def download(path: "UPath", target: Path) -> None:
    """Copy an object to a local file."""
    path.fs.get_file(path.path, str(target))


def sizes(folder: "UPath", names: Iterable[str]) -> dict[str, int]:
    """Return the sizes of those of the named objects under a folder that exist."""
    wanted = set(names)
    if len(wanted) > _FEW:
        prefix = len(folder.path.rstrip("/")) + 1
        listed = folder.fs.find(folder.path, detail=True)
        there = {name[prefix:]: int(info["size"]) for name, info in listed.items()}
        return {name: size for name, size in there.items() if name in wanted}
    found = {}
    for name in wanted:
        try:
            info = folder.fs.info((folder / name).path)
        except FileNotFoundError:
            continue
        if info["type"] == "file":
            found[name] = int(info["size"])
    return found


def read_all(paths: Iterable["UPath"]) -> Iterator[tuple["UPath", bytes]]:
    """Read many objects at once, and yield those that exist."""
    by_name = {path.path: path for path in paths}
    fs = next(iter(by_name.values())).fs
    for name, content in fs.cat(list(by_name), on_error="return").items():
        if isinstance(content, FileNotFoundError):
            continue
        if isinstance(content, BaseException):
            raise content
        yield by_name[name], content


def children(folder: "UPath") -> list[str]:
    """Return the names directly under a folder, sorted; none where there is no such folder."""
    try:
        found = folder.fs.ls(folder.path, detail=False)
    except FileNotFoundError:
        return []
    return sorted({name.rstrip("/").rpartition("/")[2] for name in found})


def delete(path: "UPath") -> None:
    """Delete an object; one that does not exist is no error."""
    path.fs.rm_file(path.path)


def endpoint() -> str:
    """Return which server is spoken to, without what a URL may carry of a password."""
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return _without_password(named) if named else "AWS S3"


def failures() -> tuple[type[Exception], ...]:
    """Return what speaking to a server raises; the errors of botocore are no OSErrors."""
    from aiohttp import ClientError
    from botocore.exceptions import BotoCoreError

    return (OSError, BotoCoreError, ClientError)


def code_of(error: BaseException) -> str:
    """Return the server's code for a refusal; where no server answered, the name of the error."""
    response = getattr(error.__cause__, "response", None)
    told = response.get("Error", {}) if isinstance(response, Mapping) else {}
    return str(told.get("Code", type(error).__name__))


_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"Credential|Token|Profile",
        "no usable credentials for {path} ({code}). Set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a recipe never holds them.",
    ),
    (
        r"NoSuchBucket",
        "{endpoint} has no bucket '{bucket}'. Create it, or correct `store:`; for a server of "
        "your own set AWS_ENDPOINT_URL.",
    ),
    (
        r"^PermissionError",
        "{endpoint} refused access to {path} ({code}). Check AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY or AWS_PROFILE: they need s3:ListBucket, s3:GetObject, "
        "s3:PutObject and s3:DeleteObject on it.",
    ),
    (
        r" 301$|PermanentRedirect|AuthorizationHeaderMalformed|NoRegion",
        "{endpoint} says that {path} lies in another region ({code}). Set AWS_DEFAULT_REGION to "
        "the region of the bucket.",
    ),
    (
        r"Connect|Timeout|HTTPClient|SSL",
        "cannot reach {endpoint} for {path} ({code}). Check the network and AWS_ENDPOINT_URL, "
        "then run the same command again: finished shards are kept.",
    ),
)
"""What to look for in "<error> <code>", and the sentence; the first that is found speaks."""


def explain(error: BaseException, path: "UPath", code: str | None = None) -> str:
    """Return what was found and what to do about an error of the server, the network, the disk."""
    code = code or code_of(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left in {tempfile.gettempdir()}, where {path} is prepared. Free some space "
            "or set TMPDIR to a larger disk, then run the same command again."
        )
    for pattern, sentence in _REMEDIES:
        if re.search(pattern, f"{type(error).__name__} {code}"):
            return sentence.format(endpoint=endpoint(), path=path, bucket=_bucket(path), code=code)
    return f"cannot use {path}: {_without_password(str(error) or code)}"


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


def _bucket(path: "UPath") -> str:
    return path.path.partition("/")[0]


def _key(path: "UPath") -> str:
    return path.path.partition("/")[2]
