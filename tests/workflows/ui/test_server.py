"""The server: this machine's own browser, reading, and nothing else."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.made_up_runs import START, Made, write_run
from tests.workflows.ui.conftest import EVERYTHING, IMAGE, SCRIPT, add_documents, serving
from workflows.errors import UsageError
from workflows.ui.index import Index
from workflows.ui.server import ANSWERS, PageServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    store = tmp_path_factory.mktemp("store")
    write_run(store, "a", [Made("x"), Made("y", {"documents": "x"})])
    write_run(store, "b", [Made("x", cache="reused")], at=START + 60)
    add_documents(store, "met", kept=[("good", "text")], dropped=[("bad", "short")])
    with serving(store) as started:
        yield started


def get(
    server: PageServer, path: str, *, method: str = "GET", host: str | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    headers = {"Host": host if host is not None else f"127.0.0.1:{server.server_port}"}
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    found = response.status, response.headers, response.read()
    connection.close()
    return found


def value(server: PageServer, path: str) -> Any:
    status, headers, body = get(server, path)
    assert status == 200, body
    assert headers["Content-Type"].startswith("application/json")
    return json.loads(body)


def test_it_listens_on_loopback_alone(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/run?run=a"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", ""])
def test_another_host_name_is_refused(server: PageServer, path: str, host: str) -> None:
    status, _, body = get(server, path, host=host.format(port=server.server_port))
    assert status == 403
    assert b"run_id" not in body


def test_its_own_names_are_not(server: PageServer) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST"):
        assert get(server, "/", host=f"{name}:{server.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_it_only_reads(server: PageServer, method: str) -> None:
    assert get(server, "/api/runs", method=method)[0] == 501


@pytest.mark.parametrize("path", ["/", "/api/runs", "/none"])
def test_every_answer_forbids_what_the_page_does_not_need(server: PageServer, path: str) -> None:
    _, headers, _ = get(server, path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


def test_the_answers_are_the_view(server: PageServer) -> None:
    assert [row["run_id"] for row in value(server, "/api/runs")["rows"]] == ["b", "a"]
    assert value(server, "/api/runs?offset=1&limit=1")["rows"][0]["run_id"] == "a"
    assert len(value(server, "/api/run?run=a")["nodes"]) == 2
    assert value(server, "/api/stage?run=a&stage=y")["inputs"][0]["name"] == "x"
    assert value(server, "/api/compare?a=a&b=b")["changes"]["y"]["change"] == "removed"
    assert value(server, "/api/search?q=met")["artifacts_total"] == 1


def test_a_document_is_followed_to_the_rule(server: PageServer) -> None:
    kept = value(server, "/api/document?id=good")
    assert (kept["text"], kept["steps"][0]["kept"]) == ("text", True)
    (step,) = value(server, "/api/document?id=bad")["steps"]
    assert (step["kept"], step["rule"], step["value"], step["limit"]) == (False, SCRIPT, 1.5, 3.0)


@pytest.mark.parametrize(
    "path",
    [
        "/api/run?run=none",
        "/api/run?run=../a",
        "/api/run?run=..%2f..%2fetc",
        "/api/run",
        "/api/stage?run=a&stage=../x",
        "/api/compare?a=a",
        "/api/document?id=none",
        "/../../etc/passwd",
        "/page.css",
        f"/{quote(SCRIPT)}",
    ],
)
def test_what_is_not_there_is_a_sentence(server: PageServer, path: str) -> None:
    status, headers, body = get(server, path)
    assert status == 404
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body)["error"]
    assert b"<" not in body
    assert b"Traceback" not in body


def test_numbers_that_are_none_are_passed_over(server: PageServer) -> None:
    assert value(server, "/api/runs?offset=x&limit=-5")["offset"] == 0
    assert len(value(server, "/api/runs?limit=99999999")["rows"]) == 2


def test_a_port_that_is_taken_says_what_to_do(server: PageServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--port 0 for any that is free"):
        PageServer(Index(tmp_path), server.server_port)


def test_hostile_texts_leave_the_server_as_data(hostile_store: Path) -> None:
    with serving(hostile_store) as started:
        (run,) = (r for r in value(started, "/api/runs")["rows"] if r["run_id"] != "earlier")
        view = value(started, f"/api/run?run={quote(run['run_id'])}")
        assert view["nodes"][-1]["error"] == EVERYTHING
        assert value(started, f"/api/document?id={quote(IMAGE)}")["text"] == EVERYTHING
        for path in ("/api/runs", f"/api/run?run={quote(run['run_id'])}"):
            assert b"<" not in get(started, path)[2]


def test_every_answer_is_tried_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for path in ANSWERS:
        assert f'value(server, "{path}' in text, path
