"""Events validated against the standard's own schemas, and a server that takes them."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import jsonschema
import pytest
from referencing import Registry, Resource

from tests.support import journals
from tests.support.commands import llada
from tests.support.stores import SmallStore
from workflows import environment
from workflows.errors import UsageError, WorkflowError
from workflows.journal import Journal, runs_folder
from workflows.lineage import facets
from workflows.lineage.openlineage import events, lines, send
from workflows.lineage.runs import find_run

SCHEMAS = {
    schema["$id"]: schema
    for path in (Path(journals.__file__).parent / "openlineage").glob("*.json")
    for schema in [json.loads(path.read_text())]
}
REGISTRY: Registry[Any] = Registry().with_resources(
    [(uri, Resource.from_contents(schema)) for uri, schema in SCHEMAS.items()]
)


def check(value: Any, url: str) -> None:
    """Validate a value by the schema that its address names; the schema must be one we hold."""
    assert url.partition("#")[0] in SCHEMAS
    jsonschema.Draft202012Validator({"$ref": url}, registry=REGISTRY).validate(value)


def facets_of(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for holder in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for group in ("facets", "inputFacets", "outputFacets"):
            yield from holder.get(group, {}).items()


def check_all(found: list[dict[str, Any]]) -> set[str]:
    """Validate events and their facets, each under its name in the standard; return the names."""
    seen = set()
    for event in found:
        check(event, event["schemaURL"])
        UUID(event["run"]["runId"])
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        for uri in (event["producer"], *(d["namespace"] for d in event["outputs"])):
            assert urlsplit(uri).scheme
        for name, facet in facets_of(event):
            check(facet, facet["_schemaURL"])
            # The schema's own top level says under which name the facet belongs in an event.
            jsonschema.Draft202012Validator(
                SCHEMAS[facet["_schemaURL"].partition("#")[0]], registry=REGISTRY
            ).validate({name: facet})
            assert name in SCHEMAS[facet["_schemaURL"].partition("#")[0]]["properties"]
            seen.add(name)
    return seen


def exported(small: SmallStore, ref: str = "last") -> list[dict[str, Any]]:
    journal = find_run(small.store, ref)
    assert journal is not None
    return events(journal, small.store)


def test_a_run_is_valid_and_whole(small: SmallStore) -> None:
    found = exported(small, "last~2")
    assert check_all(found) >= {
        "parent", "schema", "version", "dataSource", "outputStatistics", "documentation",
        "jobType", "tags",
    }  # fmt: skip
    assert ("sourceCodeLocation" in check_all(found)) == (environment.commit() is not None)
    jobs = [(event["job"]["name"], event["eventType"]) for event in found]
    assert jobs[0] == ("small", "START")
    assert jobs[-1] == ("small", "COMPLETE")
    assert jobs[1:3] == [("small.docs", "START"), ("small.docs", "COMPLETE")]
    assert len(found) == 14
    assert [event["eventTime"] for event in found] == sorted(e["eventTime"] for e in found)


def test_datasets_hang_together_as_the_stages_did(small: SmallStore) -> None:
    found = exported(small, "last~2")
    ended = {e["job"]["name"]: e for e in found if e["eventType"] == "COMPLETE"}
    tokens = ended["small.tokens"]
    assert {one["name"] for one in tokens["inputs"]} == {"unique", "bpe"}
    (unique,) = [one for one in tokens["inputs"] if one["name"] == "unique"]
    (made,) = ended["small.unique"]["outputs"]
    assert (unique["namespace"], unique["name"]) == (made["namespace"], made["name"])
    assert unique["facets"]["version"] == made["facets"]["version"]
    manifest = small.node("unique").load().manifest
    assert made["facets"]["version"]["datasetVersion"] == manifest.digest
    counted = made["outputFacets"]["outputStatistics"]
    assert counted["rowCount"] == manifest.ledger.kept.rows
    assert counted["fileCount"] == len(manifest.files)
    assert [f["name"] for f in made["facets"]["schema"]["fields"]][:2] == ["doc_id", "text"]
    parent = tokens["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == ended["small"]["run"]["runId"]
    assert len({event["run"]["runId"] for event in found}) == 7


def test_reused_stages_say_so(small: SmallStore) -> None:
    ended = [e for e in exported(small) if e["eventType"] == "COMPLETE" and e["outputs"]]
    tags = {
        e["job"]["name"]: {t["key"]: t["value"] for t in e["run"]["facets"]["tags"]["tags"]}
        for e in ended
    }
    assert tags["small.text"]["cache"] == "reused"
    assert tags["small.clean"]["cache"] == "ran"


def test_failures_and_ends_without_a_word(tmp_path: Path) -> None:
    journal = Journal(runs_folder(tmp_path) / "run-1")
    told = journals.whole_run(tmp_path)
    journals.write(journal, told[:-2])  # "report" began and its end is missing
    alive = events(journal, tmp_path)
    assert "errorMessage" not in check_all(alive)
    assert [e["job"]["name"] for e in alive if e["eventType"] in ("COMPLETE", "FAIL", "ABORT")] == [
        "demo.crawl", "demo.clean", "demo.base", "demo.score",
    ]  # fmt: skip
    journals.write(journal, told[-2:-1])
    journals.write(journal, told[-1:])
    found = events(journal, tmp_path)
    assert "errorMessage" in check_all(found)
    (failed,) = [e for e in found if e["eventType"] == "FAIL" and "parent" in e["run"]["facets"]]
    assert failed["job"]["name"] == "demo.report"
    assert "no disk" in failed["run"]["facets"]["errorMessage"]["message"]
    assert failed["outputs"] == []
    assert found[-1]["eventType"] == "FAIL"


def test_a_killed_run_is_aborted_with_the_stage_it_was_in(tmp_path: Path) -> None:
    journal = Journal(runs_folder(tmp_path) / "run-1")
    journals.write(journal, journals.whole_run(tmp_path)[:-2])
    gone = journals.started(pid=2**22 + 1).model_copy(update={"time": journals.START})
    path = journal.path
    rest = path.read_text().splitlines(keepends=True)[1:]
    path.write_text(gone.model_dump_json(exclude_none=True) + "\n" + "".join(rest))
    ends = {e["job"]["name"]: e["eventType"] for e in events(journal, tmp_path)}
    assert ends["demo.report"] == ends["demo"] == "ABORT"
    check_all(events(journal, tmp_path))


def test_checks_become_assertions() -> None:
    class Checked:
        checks = (
            {"name": "ledger_balances", "ok": True, "found": 3, "allowed": 3},
            {"name": "keep_share", "ok": False, "found": 0.01, "allowed": "0.05 to 0.95"},
        )

    found = facets.assertions(Checked())["dataQualityAssertions"]  # type: ignore[arg-type]
    check(found, found["_schemaURL"])
    assert [one["success"] for one in found["assertions"]] == [True, False]
    assert found["assertions"][1]["actual"] == "0.01"


class Server(BaseHTTPRequestHandler):
    """Takes events until it is told to refuse or to send them elsewhere."""

    taken: list[dict[str, Any]]
    answers: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 201
        if status == 201:
            self.taken.append(
                {"path": self.path, "key": self.headers["Authorization"], "event": json.loads(body)}
            )
        self.send_response(status)
        if status == 307:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    class Own(Server):
        taken: list[dict[str, Any]] = []  # noqa: RUF012
        answers: list[int] = []  # noqa: RUF012

    http = HTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", Own
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_server_takes_every_event(
    small: SmallStore, server: tuple[str, type[Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, got = server
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret-key")
    found = exported(small)
    assert send(found, url) == f"{url}/api/v1/lineage"
    assert [one["event"] for one in got.taken] == found
    assert {(one["path"], one["key"]) for one in got.taken} == {
        ("/api/v1/lineage", "Bearer secret-key")
    }


def test_a_server_that_refuses_is_explained_without_a_password(
    small: SmallStore, server: tuple[str, type[Server]]
) -> None:
    url, got = server
    got.answers = [201, 201, 500]
    with pytest.raises(WorkflowError, match="took 2 of 14 events, then: HTTP Error 500"):
        send(exported(small), url)
    got.answers = [307]
    with pytest.raises(WorkflowError, match="took 0 of 14 events, then: HTTP Error 307"):
        send(exported(small), f"{url}/base?x=1")
    assert len(got.taken) == 2
    with pytest.raises(WorkflowError) as caught:
        send(exported(small), "http://me:hidden@127.0.0.1:9/")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "host:5000", "http://"])
def test_only_http_addresses_are_sent_to(url: str) -> None:
    with pytest.raises(UsageError, match="allowed are http:// and https://"):
        send([], url)


def test_the_command_writes_json_lines(small: SmallStore, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    arguments = ("export", "openlineage", "last", "--store", small.store)
    llada(*arguments, "--out", out, cwd=Path.cwd())
    assert out.read_text() == "".join(lines(exported(small)))
    assert llada(*arguments, cwd=Path.cwd()).stdout == out.read_text()
    wrong = llada("export", "openlineage", "x", "--store", small.store, cwd=Path.cwd(), check=2)
    assert "no run of" in wrong.stderr
