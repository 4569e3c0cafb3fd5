"""The way of a document, checked against what the files hold."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llada.tokenizer import Tokenizer
from pipelines.tokenize import is_held_out
from tests.support.stores import SmallStore, publish, publish_model
from workflows.errors import RefError
from workflows.lineage.documents import explain, trace_json, trace_text, way_of
from workflows.lineage.graph import Node, read_graph
from workflows.lineage.lookup import Wanted, hits
from workflows.lineage.trace import trace


def documents(node: Node, role: str = "data") -> list[dict[str, Any]]:
    folder = {"data": "data", "rejects": "rejects"}[role]
    paths = sorted((node.folder / folder).glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def test_every_packed_document_is_found_where_its_tokens_are(small: SmallStore) -> None:
    tokens = small.node("tokens")
    tokenizer = Tokenizer.load(tokens.folder / "aside")
    fates = set()
    for row in documents(small.node("unique"))[::3]:
        chain = next(c for c in trace(small.graph, row["doc_id"]).chains if tokens in nodes(c))
        step = next(step for step in chain.steps if step.node == tokens)
        found: list[int] = []
        for hit in step.hits:
            with pa.memory_map(str(tokens.folder / hit.entry.path)) as source:
                table = pa.ipc.open_stream(source).read_all()
            ids = table["input_ids"][hit.row].as_py()
            assert hit.offset is not None
            assert hit.tokens is not None
            found += ids[hit.offset : hit.offset + hit.tokens]
        expected = [*tokenizer.encode(row["text"]), tokenizer.special.eos]
        assert found[: len(expected)] == expected
        assert set(found[len(expected) :]) <= {tokenizer.special.eos}
        assert step.fate == ("held out" if is_held_out(row["doc_id"], 0.2) else "packed")
        fates.add(step.fate)
    assert fates == {"packed", "held out"}


def nodes(chain: Any) -> list[Node]:
    return [step.node for step in chain.steps]


def test_each_step_points_at_the_row_of_the_document(small: SmallStore) -> None:
    doc_id = documents(small.node("unique"))[7]["doc_id"]
    steps = [s for s in trace(small.graph, doc_id).steps if s.node.makes == "documents"]
    assert len(steps) >= 4
    for step in steps:
        path = step.node.folder / step.hits[0].entry.path
        assert pq.read_table(path)["doc_id"][step.hits[0].row].as_py() == doc_id
        assert step.row["doc_id"] == doc_id


def test_a_dropped_document_ends_at_its_rule(small: SmallStore) -> None:
    (short, _) = documents(small.node("clean"), "rejects")
    found = trace(small.graph, short["doc_id"])
    chain = next(chain for chain in found.chains if chain.run_id == small.runs[0])
    assert [step.node.name for step in chain.steps] == ["text", "clean"]
    dropped = chain.dropped
    assert dropped is not None
    assert dropped.row["rule"] == "gopher_short_doc"
    assert chain.models == ()
    text = trace_text(found, every=True)
    assert "DROPPED  by rule gopher_short_doc: words = 4, limit 50" in text.replace("_count", "")
    assert "clean" in explain(way_of(short["doc_id"], small.store))


def test_a_copy_names_what_was_kept_in_its_place(small: SmallStore) -> None:
    copy = documents(small.node("unique"), "rejects")[0]
    found = trace(small.graph, copy["doc_id"])
    assert f"it is a copy of {copy['duplicate_of']}, which was kept" in trace_text(
        found, every=True
    )


def test_the_newest_chain_is_shown_and_the_others_are_counted(small: SmallStore) -> None:
    # Short, so dropped by the first and third run's rule and kept by the second's.
    (short, _) = documents(small.node("clean"), "rejects")
    found = trace(small.graph, short["doc_id"])
    assert [chain.run_id for chain in found.chains] == [*reversed(small.runs)][: len(found.chains)]
    assert found.chains[0].dropped is not None
    assert [s.fate for s in found.chains[1].steps][:2] == ["kept", "kept"]
    assert "older chain" in trace_text(found, every=False)
    shown = trace_json(found, every=False)
    assert (len(shown["chains"]), shown["older_chains"]) == (1, len(found.chains) - 1)
    assert len(trace_json(found, every=True)["chains"]) == len(found.chains)


def test_a_chain_goes_on_in_what_earlier_runs_made_of_the_same_content(small: SmallStore) -> None:
    kept = next(r for r in documents(small.node("unique")) if not is_held_out(r["doc_id"], 0.2))
    newest = trace(small.graph, kept["doc_id"]).chains[0]
    assert newest.run_id == small.runs[2]
    assert nodes(newest) == [
        small.node("text"), small.node("clean", run=2), small.node("unique"), small.node("tokens"),
    ]  # fmt: skip


def test_models_that_learned_from_it_and_not_those_that_only_met_it(own_small: SmallStore) -> None:
    store = own_small.store
    tokens = own_small.node("tokens").load()
    base = publish_model(store, "base", tokens=tokens)
    publish_model(store, "chat", "sft", model=base)
    publish(store, "report", "evaluate", "report", {"model": base, "tokens": tokens})
    rows = documents(own_small.node("unique"))
    packed = next(r["doc_id"] for r in rows if not is_held_out(r["doc_id"], 0.2))
    held = next(r["doc_id"] for r in rows if is_held_out(r["doc_id"], 0.2))
    graph = own_small.graph
    chain = next(c for c in trace(graph, packed).chains if own_small.node("tokens") in nodes(c))
    assert [(m.node.name, m.through) for m in chain.models] == [
        ("base", (own_small.node("tokens").label,)),
        ("chat", (base.label,)),
    ]
    assert all(chain.models == () for chain in trace(graph, held).chains)
    assert "held out: no model trains on it" in trace_text(trace(graph, held), every=False)


def test_a_beginning_of_six_characters_is_enough_when_only_one_has_it(tmp_path: Path) -> None:
    ids = ["abcdef11", "abcdef22", "abcdeg33", "short"]
    publish(tmp_path, "text", tables={"data": pa.table({"doc_id": ids, "text": ids})})
    graph = read_graph(tmp_path)
    assert trace(graph, "abcdeg").doc_id == "abcdeg33"
    assert trace(graph, "abcdef2").doc_id == "abcdef22"
    assert trace(graph, "short").doc_id == "short"
    with pytest.raises(RefError, match="2 documents begin with 'abcdef': abcdef11, abcdef22"):
        trace(graph, "abcdef")
    with pytest.raises(RefError, match="needs 6 characters"):
        trace(graph, "abcde")
    with pytest.raises(RefError, match="has met the document 'ffffffff'"):
        trace(graph, "ffffffff")


def test_row_groups_that_cannot_hold_an_id_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{number:06d}" for number in range(1000)]
    artifact = publish(tmp_path, "text", tables={"data": pa.table({"doc_id": ids})})
    (entry,) = artifact.manifest.files
    path = artifact.folder / entry.path
    pq.write_table(pq.read_table(path), path, row_group_size=100)
    sized = entry.model_copy(update={"bytes": path.stat().st_size})
    source = artifact.model_copy(
        update={"manifest": artifact.manifest.model_copy(update={"files": (sized,)})}
    ).as_input()
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def counted(self: Any, group: int, **more: Any) -> Any:
        read.append(group)
        return original(self, group, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    for number in (0, 437, 999):
        (hit,) = hits(source, ("data",), Wanted(f"{number:06d}"), 0)
        assert hit.row == number
    assert read == [0, 4, 9]
    assert [h.row for h in hits(source, ("data",), Wanted("00043", whole=False), 0)] == [
        *range(430, 440)
    ]
    assert hits(source, ("data",), Wanted("9"), 0) == []


def test_a_wrong_guess_of_the_shard_costs_time_and_no_document(small: SmallStore) -> None:
    artifact = small.node("unique").load().as_input()
    assert len(artifact.entries("data")) > 2
    for row, likely in itertools.product(documents(small.node("unique"))[::5], (0, 1, 99_999)):
        (hit,) = hits(artifact, ("data", "rejects"), Wanted(row["doc_id"]), likely)
        assert hit.doc_id == row["doc_id"]


def test_a_document_is_followed_when_the_first_stages_were_removed(own_small: SmallStore) -> None:
    doc_id = documents(own_small.node("unique"))[3]["doc_id"]
    for name in ("docs", "text"):
        shutil.rmtree(own_small.node(name).folder)
    steps = trace(own_small.graph, doc_id[:8]).steps
    assert {"clean", "unique", "tokens"} == {step.node.name for step in steps}


def test_a_terminal_is_not_obeyed(tmp_path: Path) -> None:
    table = pa.table({"doc_id": ["abcdef1"], "source": ["\x1b[2Jevil"], "text": ["a\x1b]0;x\x07b"]})
    publish(tmp_path, "text", tables={"data": table})
    told = trace_text(trace(read_graph(tmp_path), "abcdef1"), every=True)
    assert "\x1b" not in told
    assert "evil" in told


def test_a_damaged_artifact_is_left_out_and_named(own_small: SmallStore) -> None:
    doc_id = documents(own_small.node("unique"))[3]["doc_id"]
    for path in (own_small.node("clean").folder / "data").iterdir():
        path.unlink()
    found = trace(own_small.graph, doc_id)
    assert {"text", "clean", "unique", "tokens"} == {step.node.name for step in found.steps}
    assert own_small.node("clean") not in [step.node for step in found.steps]
    assert "the file is missing" in trace_text(found, every=False)
    for node in own_small.graph.nodes:
        if node.makes in ("documents", "tokens"):
            shutil.rmtree(node.folder / "data")
    with pytest.raises(RefError, match=r"Left out was .*text"):
        trace(own_small.graph, doc_id)


def test_other_rules_that_a_document_fails_are_told_with_value_and_limit(
    small: SmallStore,
) -> None:
    rows = documents(small.node("clean"), "rejects")
    row = next(row for row in rows if len(row["failed_rules"]) > 1)
    steps = way_of(row["doc_id"], small.graph.store)
    text = explain(steps)
    for name, value, limit in zip(
        row["failed_rules"][1:], row["failed_values"][1:], row["failed_limits"][1:], strict=True
    ):
        assert f"{name} = {value:.4g} (limit {limit:.4g})" in text
