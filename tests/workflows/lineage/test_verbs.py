"""The verbs of lineage as a person meets them: exit codes, JSON, one sentence where it is wrong."""

import json
from pathlib import Path

import pytest

from tests.support.commands import llada
from tests.support.stores import SmallStore
from tests.workflows.lineage.test_trace import documents


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lineage", "a.jsonl", "--up"), "nothing lies behind it; use --down"),
        (("lineage", "tokns"), "Did you mean 'tokens'?"),
        (("trace", "ffffffffff"), "has met the document 'ffffffffff'"),
        (("diff", "last", "last~9"), "has 3 runs"),
        (("reproduce", "nothing"), "no artifact answers to 'nothing'"),
        (("export", "openlineage", "last", "--url", "file:///x"), "allowed are http://"),
        (("show", "unknown@abc"), "no artifact answers to 'unknown@abc'"),
    ],
)
def test_wrong_usage_is_explained(
    small: SmallStore, arguments: tuple[str, ...], message: str
) -> None:
    done = llada(*arguments, "--store", small.store, cwd=Path.cwd(), check=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_what_machines_read(small: SmallStore) -> None:
    def asked(*arguments: str) -> dict[str, object]:
        done = llada(*arguments, "--json", "--store", small.store, cwd=Path.cwd())
        value: dict[str, object] = json.loads(done.stdout)
        return value

    down = asked("lineage", small.node("unique").label, "--down")
    rows = down["artifacts"]
    assert isinstance(rows, list)
    assert [row["name"] for row in rows] == ["unique", "bpe", "tokens"]
    assert rows[2]["inputs"]["documents"]["digest"] == small.node("unique").digest
    assert isinstance(asked("lineage", "a.jsonl")["reached"], list)
    doc_id = documents(small.node("unique"))[0]["doc_id"]
    assert asked("trace", doc_id[:8])["doc_id"] == doc_id
    explained = asked("explain", doc_id[:8])
    assert explained["doc_id"] == doc_id
