"""Which addresses a source may name, how each is spoken to, and what its refusals mean.

Credentials come from the environment of the run alone: an address that carries one is refused.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

from pipelines import object_store
from pipelines.errors import InputError, UnreachableError

ETAG = "etag:"
"""What stands before a version as the server calls it, where a local file has its xxh3-128."""
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ATTEMPTS = 4
_ERRORS = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("httpx2", "HTTPError"),
)
"""What the clients raise besides OSError; a module that is not installed raises nothing."""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Scheme:
    """A kind of server: the package that speaks to it, and where its credentials come from."""

    module: str
    extra: str
    """The extra of this project that brings the package; '' where every installation has it."""
    credentials: str
    options: Mapping[str, Any] = field(default_factory=dict)
    range_options: Mapping[str, Any] = field(default_factory=dict)
    """What a read of some bytes must be told, so that it fetches these and no more."""


_HTTP = Scheme(
    "aiohttp", "", "a server that asks for them cannot be read",
    {"client_kwargs": {"headers": {"Accept-Encoding": "identity"}}},
)  # fmt: skip
_GCS = Scheme("gcsfs", "gcs", "set GOOGLE_APPLICATION_CREDENTIALS", {"use_listings_cache": False})

SCHEMES: Mapping[str, Scheme] = {
    "s3": Scheme(
        "s3fs", "s3", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        object_store.OPTIONS,
    ),
    "gs": _GCS,
    "gcs": _GCS,
    "http": _HTTP,
    "https": _HTTP,
    "hf": Scheme(
        "huggingface_hub", "", "set HF_TOKEN, for a gated or private dataset",
        {"use_listings_cache": False}, {"cache_type": "none"},
    ),
}  # fmt: skip
"""Scheme of an address -> who serves it; a new one is a line here."""


def is_remote(path: str) -> bool:
    """Say whether a path is the address of something on a server."""
    return "://" in path


def check_address(address: str) -> None:
    """Raise ValueError where an address cannot be read, without repeating a credential in it."""
    match = _ADDRESS.fullmatch(address)
    scheme, rest = (match[1], match[2]) if match else ("", "")
    host, _, path = rest.partition("/")
    if scheme not in SCHEMES:
        raise ValueError(
            f"found an address of the scheme {scheme + '://'!r}; allowed: "
            f"{', '.join(f'{name}://' for name in SCHEMES)} or a path on this machine"
        )
    if "@" in host:
        raise ValueError(
            f"found credentials in an address of {scheme}:// (not shown); they never stand in a "
            f"recipe or a command: remove what precedes '@', and {SCHEMES[scheme].credentials}"
        )
    if scheme in ("http", "https") and re.search("[?#]", rest):
        raise ValueError(
            f"found a query in an address of {scheme}:// (not shown: a presigned address holds a "
            "credential); allowed is the plain address of a file, for example "
            "https://host/folder/file.jsonl.gz"
        )
    if scheme == "hf" and not re.fullmatch(r"datasets/[^/]+/[^/]+(/.*)?", rest):
        raise ValueError(
            f"found {address!r}; allowed is hf://datasets/OWNER/NAME, also with @REVISION and a "
            "file, folder or pattern behind it"
        )
    if not host or (scheme in ("http", "https") and not path):
        raise ValueError(f"found {address!r}; name a host or bucket, and what lies there")


def filesystem(address: str) -> Any:
    """Return what speaks to the server of an address (an fsspec filesystem); asks it nothing.

    Raises:
        InputError: the package for it is not installed.
    """
    name = address.partition("://")[0]
    scheme = SCHEMES[name]
    try:
        import_module(scheme.module)
    except ImportError as error:
        how = f"'llada-pipeline[{scheme.extra}]'" if scheme.extra else scheme.module
        raise InputError(
            f"source: {name}:// needs the package {scheme.module}, which is not installed "
            f"({error}). Install it: pip install {how}"
        ) from error
    import fsspec

    return fsspec.filesystem(name, **scheme.options)


def range_options(address: str) -> Mapping[str, Any]:
    """Return what a read of some bytes of an address must be told."""
    return SCHEMES[address.partition("://")[0]].range_options


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn what a server or the network refuses into an InputError with a remedy."""
    try:
        yield
    except failures() as error:
        raise _explained(error, address) from error


def patient(ask: Callable[[], _Answer], address: str) -> _Answer:
    """Return the answer to a request, asked again a few times where a server stumbles.

    Raises:
        InputError: nothing lies there, or access is refused.
        UnreachableError: the server did not answer in the end; worth another try later.
    """
    for attempt in range(_ATTEMPTS):
        with explained(address):
            try:
                return ask()
            except (FileNotFoundError, PermissionError):
                raise
            except failures():
                if attempt == _ATTEMPTS - 1:
                    raise
        time.sleep(0.1 * 4**attempt)
    raise AssertionError("the last attempt returns or raises")


def failures() -> tuple[type[BaseException], ...]:
    """Return what speaking to a server raises, for the clients that are installed."""
    found: list[type[BaseException]] = [OSError]
    for module, name in _ERRORS:
        try:
            found.append(getattr(import_module(module), name))
        except ImportError:
            continue
    return tuple(found)


def _explained(error: BaseException, address: str) -> InputError:
    scheme = SCHEMES[address.partition("://")[0]]
    said = f"{type(error).__name__} {object_store.code_of(error)} {error}"
    if isinstance(error, FileNotFoundError) and not re.search("NoSuchBucket", said):
        return InputError(
            f"source: nothing lies at {address}. Check the spelling; a folder has a file in it, "
            "and over http:// a file is named by itself."
        )
    if re.search(r"NoSuchBucket|bucket does not exist", said):
        return InputError(f"source: there is no such bucket: {address}. Check the spelling.")
    if isinstance(error, PermissionError) or re.search(
        r"Credential|AccessDenied|\b40[13]\b|Unauthorized|Forbidden|GatedRepo", said
    ):
        return InputError(
            f"source: access to {address} is refused ({type(error).__name__}). Credentials come "
            f"from the environment: {scheme.credentials}."
        )
    return UnreachableError(
        f"source: cannot read {address}: {type(error).__name__}: {_first_line(error)}. Check the "
        "network, then run the same command again: finished shards are kept."
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return re.sub(r"//[^/@\s]*@", "//", lines[0])[:200] if lines else "no reason given"


def version_of(info: Mapping[str, Any]) -> str:
    """Return how a server names the version of a file; '' where it does not.

    The hash of the content wins over a name that says nothing of it, so that a copy elsewhere is
    the same file.
    """
    names = ("md5Hash", "crc32c", "ETag", "etag", "blob_id")
    lfs = (info.get("lfs") or {}).get("sha256")
    found = lfs or next((info[name] for name in names if info.get(name)), "")
    return ETAG + str(found).strip('"') if found else ""
