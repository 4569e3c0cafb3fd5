"""HTTP servers on loopback: one that serves ranges and versions, one that does not, a Hub, GCS."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


class FileServer:
    """What a server was asked for, and how it misbehaves next."""

    def __init__(self, root: Path, *, ranges: bool) -> None:
        self.root, self.ranges = root, ranges
        self.url = ""
        self.sent: dict[str, list[int]] = {}
        """Bytes of each answer to a GET, by path."""
        self.stumbles = 0
        """So many of the next requests get a 503."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one GET or HEAD."""
        path = unquote(urlsplit(request.path).path)
        if path.startswith(("/storage/v1/b/", "/download/storage/v1/b/")):
            self._google(request)
            return
        if path.startswith("/api/") and self._api(request, path.removeprefix("/api/")):
            return
        if self.stumbles:
            self.stumbles -= 1
            _send(request, 503, b"")
            return
        file = self.root / re.sub(r"^/datasets/[^/]+/[^/]+/resolve/[^/]+", "", path).lstrip("/")
        if path.startswith("/secret"):
            _send(request, 403, b"")
        elif not file.is_file():
            _send(request, 404, b"", **{"X-Error-Code": "EntryNotFound"})
        else:
            self._file(request, path, file.read_bytes())

    def _file(self, request: BaseHTTPRequestHandler, path: str, content: bytes) -> None:
        if not self.ranges:
            self.sent.setdefault(path, []).append(len(content))
            _send(request, 200, content)
            return
        headers = {"ETag": f'"{_hash(content)}"', "X-Repo-Commit": _COMMIT}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if wanted is None:
            _send(request, 200, content, **headers)
            return
        start, stop = int(wanted[1]), int(wanted[2] or len(content)) + 1
        if start >= len(content):
            _send(request, 416, b"", **headers, **{"Content-Range": f"bytes */{len(content)}"})
            return
        part = content[start:stop]
        self.sent.setdefault(path, []).append(len(part))
        where = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        _send(request, 206, part, **headers, **{"Content-Range": where})

    def _google(self, request: BaseHTTPRequestHandler) -> None:
        """Answer as Google Cloud Storage's JSON API does about the one bucket `corpus`."""
        split = urlsplit(request.path)
        asked = dict(parse_qsl(split.query))
        bucket, _, rest = split.path.partition("/v1/b/")[2].partition("/")
        name = unquote(rest.removeprefix("o/"))
        file = self.root / name
        if bucket != "corpus" or not (rest == "o" or file.is_file()):
            _send(request, 404, b'{"error": {"message": "Not Found"}}')
        elif rest == "o":
            files = sorted(path for path in self.root.rglob("*") if path.is_file())
            objects = [self._object(path) for path in files]
            prefix = asked.get("prefix", "")
            below = [one for one in objects if one["name"].startswith(prefix)]
            here = [one for one in below if "/" not in one["name"][len(prefix) :]]
            folders = {prefix + one["name"][len(prefix) :].split("/")[0] + "/" for one in below}
            cut = "delimiter" in asked
            _send_json(request, {
                "items": here if cut else below,
                "prefixes": sorted(folders - {one["name"] + "/" for one in here}) if cut else [],
            })  # fmt: skip
        elif asked.get("alt") == "media":
            self._file(request, name, file.read_bytes())
        else:
            _send_json(request, self._object(file))

    def _object(self, file: Path) -> dict[str, str]:
        content = file.read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        return {
            "name": file.relative_to(self.root).as_posix(), "bucket": "corpus", "generation": "1",
            "size": str(len(content)), "md5Hash": base64.b64encode(md5).decode(),
        }  # fmt: skip

    def _api(self, request: BaseHTTPRequestHandler, path: str) -> bool:
        """Answer as the Hub does about the one dataset `me/made-up`."""
        parts = path.split("/")
        if parts[:3] != ["datasets", "me", "made-up"]:
            _send(request, 404, b"{}", **{"X-Error-Code": "RepoNotFound"})
        elif "tree" in parts:
            files = sorted(file for file in self.root.rglob("*") if file.is_file())
            _send_json(request, [
                {"type": "file", "path": file.relative_to(self.root).as_posix(),
                 "size": file.stat().st_size, "oid": _hash(file.read_bytes())}
                for file in files
            ])  # fmt: skip
        else:
            _send_json(request, {"id": "me/made-up", "sha": _COMMIT, "siblings": []})
        return True


_COMMIT = "5" * 40


def _hash(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _send_json(request: BaseHTTPRequestHandler, value: Any) -> None:
    _send(request, 200, json.dumps(value).encode(), **{"Content-Type": "application/json"})


def _send(request: BaseHTTPRequestHandler, status: int, content: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(content))}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)


def _handler(answer: Callable[[BaseHTTPRequestHandler], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(root: Path, *, ranges: bool = True) -> Iterator[FileServer]:
    """Serve a folder; without `ranges` neither ranges nor versions, as plain servers do."""
    files = FileServer(root, ranges=ranges)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(files.answer))
    server.daemon_threads = True
    files.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
