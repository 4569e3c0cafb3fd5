"""Lists of blocked sites and addresses, as the Université Toulouse 1 publishes them.

A list is text, one entry a line, also gzipped; "#" starts a comment. A file called `domains` blocks
a host and everything below it (`example.org` blocks `a.example.org`, not `badexample.org`); one
called `urls` blocks an address and what it is the beginning of, up to a border: a slash, "?", "#"
or "&". Schemes and a leading "www." do not count. Entries are held as 64-bit hashes: eight bytes an
entry, however long it is.
"""

import gzip
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from filters.errors import FilterError
from filters.hosts import host_of

_Hashes = npt.NDArray[np.uint64]

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BORDER = re.compile(r"[/?#&]")
_MOST_BORDERS = 64
"""Beginnings of an address that are looked up; the rest of a longer one is not."""


@dataclass(frozen=True)
class UrlList:
    """Blocked hosts and addresses, and which file named each; `read` makes one."""

    names: tuple[str, ...]
    domains: _Hashes
    domain_names: npt.NDArray[np.int32]
    urls: _Hashes
    url_names: npt.NDArray[np.int32]

    @classmethod
    def read(cls, files: Mapping[str, Path]) -> "UrlList":
        """Read files by name: "adult/domains", "adult/urls.gz". Raises FilterError for others."""
        entries: dict[str, tuple[list[int], list[int]]] = {"domains": ([], []), "urls": ([], [])}
        for number, (name, path) in enumerate(files.items()):
            kind = name.rpartition("/")[2].removesuffix(".gz")
            if kind not in entries:
                raise FilterError(
                    f"URL list {name!r}: allowed are files called domains, urls, domains.gz and "
                    "urls.gz, in a folder for each category; rename it or leave it out"
                )
            hashes, names = entries[kind]
            found = [_hashed(_entry(_text(line))) for line in lines_of(path)]
            hashes += found
            names += [number] * len(found)
        return cls(tuple(files), *_sorted(*entries["domains"]), *_sorted(*entries["urls"]))

    def blocked_host(self, url: str | None) -> str:
        """Return the list that names the host of a URL, or one above it; "" where none does."""
        return self._first(_above(host_of(url)), self.domains, self.domain_names)

    def blocked_url(self, url: str | None) -> str:
        """Return the list that names a URL or a beginning of it; "" where none does."""
        return self._first(_beginnings(_entry(url or "")), self.urls, self.url_names)

    def features(self, urls: pa.Array | pa.ChunkedArray) -> pa.Table:
        """Return url_domain_listed and url_listed (1 or 0) of N URLs, and `listed_in` (a name)."""
        hosts: list[str] = []
        addresses: list[str] = []
        for url in urls.to_pylist():
            hosts.append(self.blocked_host(url) if len(self.domains) else "")
            addresses.append(self.blocked_url(url) if len(self.urls) else "")
        return pa.table(
            {
                "url_domain_listed": pa.array([int(bool(name)) for name in hosts], pa.int64()),
                "url_listed": pa.array([int(bool(name)) for name in addresses], pa.int64()),
                "listed_in": pa.array(
                    [one or other for one, other in zip(hosts, addresses, strict=True)],
                    pa.string(),
                ),
            }
        )

    def _first(
        self, candidates: Iterable[str], hashes: _Hashes, names: npt.NDArray[np.int32]
    ) -> str:
        for candidate in candidates:
            wanted = np.uint64(_hashed(candidate))
            at = int(np.searchsorted(hashes, wanted))
            if at < len(hashes) and hashes[at] == wanted:
                return self.names[int(names[at])]
        return ""


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the entries of a list, stripped, without comments and empty lines."""
    with path.open("rb") as handle:
        lines = gzip.GzipFile(fileobj=handle) if path.name.endswith(".gz") else handle
        for line in lines:
            entry = line.strip()
            if entry and not entry.startswith(b"#"):
                yield entry


def _text(line: bytes) -> str:
    """Return an entry as text; what is not UTF-8 is Latin-1, which these lists come from."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _entry(line: str) -> str:
    """Return a host or an address as it is compared: no scheme, no "www.", host in lower case."""
    rest = _SCHEME.sub("", line.strip())
    border = _BORDER.search(rest)
    end = border.start() if border else len(rest)
    return host_of(f"//{rest[:end]}").removeprefix("www.") + rest[end:].rstrip("/")


def _above(host: str) -> Iterator[str]:
    """Yield a host and every domain above it: a.b.org, b.org, org."""
    while host:
        yield host
        host = host.partition(".")[2]


def _beginnings(address: str) -> Iterator[str]:
    """Yield an address and its beginnings up to a border, the shortest first."""
    for match in itertools.islice(_BORDER.finditer(address), _MOST_BORDERS):
        yield address[: match.start()]
    if address:
        yield address


def _hashed(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


def _sorted(hashes: list[int], names: list[int]) -> tuple[_Hashes, npt.NDArray[np.int32]]:
    values = np.array(hashes, dtype=np.uint64)
    order = np.argsort(values, kind="stable")
    return values[order], np.array(names, dtype=np.int32)[order]
