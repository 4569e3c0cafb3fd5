"""The local server of the page: GET only, loopback only, this host name only."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipelines.errors import PipelineError
from workflows.errors import RefError, UsageError, WorkflowError
from workflows.ui.comparison import compare
from workflows.ui.documents import document_view
from workflows.ui.index import Index
from workflows.ui.page import as_json, policy, served_page
from workflows.ui.stage_view import stage_view
from workflows.ui.view import run_page, run_view, search

HOST = "127.0.0.1"
_FRESH = 2.0
"""Seconds for which the index is taken as it is."""
_MOST_ROWS = 500

Query = Mapping[str, str]


def _runs(index: Index, query: Query) -> object:
    limit = min(max(_whole(query, "limit", 50), 1), _MOST_ROWS)
    return run_page(index, query.get("q", ""), max(_whole(query, "offset", 0), 0), limit)


ANSWERS: Mapping[str, Callable[[Index, Query], object]] = {
    "/api/runs": _runs,
    "/api/run": lambda index, query: run_view(index, _need(query, "run")),
    "/api/stage": lambda index, query: stage_view(
        index, _need(query, "run"), _need(query, "stage")
    ),
    "/api/compare": lambda index, query: compare(index, _need(query, "a"), _need(query, "b")),
    "/api/search": lambda index, query: search(index, query.get("q", "")),
    "/api/document": lambda index, query: document_view(index, _need(query, "id")),
}
"""path -> what answers it; all take the index and the query and return JSON values."""


class PageServer(ThreadingHTTPServer):
    """Serves the page of one store on 127.0.0.1."""

    daemon_threads = True

    def __init__(
        self, index: Index, port: int, run_id: str | None = None, against: str | None = None
    ) -> None:
        """Bind; UsageError where the port is taken."""
        self.index = index
        self.choice = (run_id, against)
        self._lock = threading.Lock()
        self._looked = 0.0
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen on {HOST}:{port}: {error}. Choose another with --port, "
                "or --port 0 for any that is free."
            ) from error

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self.server_port}/"

    def hosts(self) -> set[str]:
        """Return the Host headers answered: another one means DNS rebinding."""
        return {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def fresh(self) -> Index:
        """Return the index, looked at anew when it is old."""
        with self._lock:
            if time.monotonic() - self._looked > _FRESH:
                self.index.refresh()
                self._looked = time.monotonic()
            return self.index


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "llada"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts():
            self._answer(HTTPStatus.FORBIDDEN, {"error": "this server answers to 127.0.0.1 only"})
            return
        parts = urlsplit(self.path)
        if parts.path == "/":
            index = self.server.fresh()
            newest = next(iter(index.runs), None)
            run_id, against = self.server.choice
            page = served_page(index, run_id or newest, against)
            self._send(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8")
            return
        answer = ANSWERS.get(unquote(parts.path))
        if answer is None:
            known = ", ".join(["/", *ANSWERS])
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"nothing here; there are {known}"})
            return
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            self._answer(HTTPStatus.OK, answer(self.server.fresh(), query))
        except RefError as error:
            self._answer(HTTPStatus.NOT_FOUND, {"error": str(error)})
        except (WorkflowError, PipelineError, ValueError, KeyError, OSError) as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error) or repr(error)})

    def _answer(self, status: HTTPStatus, value: object) -> None:
        self._send(status, as_json(value), "application/json; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy() + "; frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # who asked may have left: a page that was closed
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: a terminal is no place for what a page asks."""


def _need(query: Query, name: str) -> str:
    if not query.get(name):
        raise RefError(f"the query lacks '{name}'")
    return query[name]


def _whole(query: Query, name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError:
        return default
