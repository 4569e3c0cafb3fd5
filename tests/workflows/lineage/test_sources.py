"""What a source file became: counted where documents can be followed, 'at most' elsewhere."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.schemas import LISTING
from pipelines.tokenize import is_held_out
from tests.support.stores import SmallStore, publish, publish_model
from tests.workflows.lineage.test_trace import documents
from workflows.lineage.graph import ArtifactGraph, read_graph
from workflows.lineage.refs import find
from workflows.lineage.sources import Reached, reach, reach_text
from workflows.lineage.tree import down_text, reach_json, up_text


def reached(graph: ArtifactGraph, name: str) -> list[Reached]:
    file = find(graph, name).file
    assert file is not None
    return reach(graph, file)


def test_documents_of_a_file_are_counted_at_every_stage(small: SmallStore) -> None:
    found = {one.node.folder: one for one in reached(small.graph, "a.jsonl")}
    assert small.node("docs").folder in found
    counts = {
        name: (found[small.node(name).folder].kept, found[small.node(name).folder].dropped)
        for name in ("text", "clean", "unique")
    }
    # 12 good ones, a copy, a short one.
    assert counts == {"text": (14, 0), "clean": (13, 1), "unique": (12, 1)}
    tokens = found[small.node("tokens").folder]
    assert tokens.how == "counted"
    assert tokens.kept + tokens.held_out == 12
    held = [r for r in documents(small.node("unique")) if r["source"] == "a.jsonl"]
    assert tokens.held_out == sum(is_held_out(r["doc_id"], 0.2) for r in held)
    bpe = found[small.node("bpe").folder]
    assert (bpe.how, bpe.through) == ("at most", (small.node("unique").label,))


def test_models_are_reached_by_what_is_trained_on_and_not_by_what_is_held_out(
    own_small: SmallStore,
) -> None:
    base = publish_model(own_small.store, "base", tokens=own_small.node("tokens").load())
    publish_model(own_small.store, "chat", "sft", model=base)
    singles = {
        row["source"]: is_held_out(row["doc_id"], 0.2)
        for row in documents(own_small.node("unique"))
        if row["source"].startswith("one-")
    }
    assert set(singles.values()) == {True, False}
    for name, held_out in singles.items():
        found = reached(own_small.graph, name)
        models = [one.node.name for one in found if one.node.makes == "model"]
        assert models == ([] if held_out else ["base", "chat"])


def test_a_file_of_which_nothing_is_kept_reaches_nothing_further(own_small: SmallStore) -> None:
    # b.jsonl is renamed in the filter's input: what is kept of "gone" is nothing.
    file = find(own_small.graph, "b.jsonl").file
    assert file is not None
    nothing = type(file)("no-document.jsonl", "/x", 0, "0", file.listings)
    found = reach(own_small.graph, nothing)
    assert [one.node.name for one in found] == ["docs"]
    assert "reached 1 artifacts, 0 of them models" in reach_text(nothing, found)


def test_the_text_says_what_is_counted_and_what_is_not(own_small: SmallStore) -> None:
    publish_model(own_small.store, "base", tokens=own_small.node("tokens").load())
    file = find(own_small.graph, "a.jsonl").file
    assert file is not None
    told = reach_text(file, reach(own_small.graph, file))
    assert "13 documents kept, 1 dropped" in told
    (line,) = [line for line in told.splitlines() if "MODEL" in line]
    assert "base (pretrain) @" in line
    assert "at most, through tokens@" in line
    as_json = reach_json(own_small.graph, file, reach(own_small.graph, file))
    assert as_json["reached"][-1]["how"] == "at most"


def test_trees_up_and_down(own_small: SmallStore) -> None:
    tokens = own_small.node("tokens")
    base = publish_model(own_small.store, "base", tokens=tokens.load())
    publish(own_small.store, "report", "evaluate", "report", {"model": base})
    graph = own_small.graph
    up = up_text(graph, tokens)
    assert up.count("unique (dedup)") == 2
    assert up.count("(shown above)") == 1
    assert "a.jsonl" in up
    assert "... and 5 more files" in up
    down = down_text(graph, own_small.node("unique"))
    assert [line for line in down.splitlines() if "MODEL base" in line]
    assert down.endswith("4 artifacts, 1 of them models")


@pytest.mark.parametrize("gone", ["unique", "docs"])
def test_a_removed_input_is_said_and_not_hidden(own_small: SmallStore, gone: str) -> None:
    import shutil

    shutil.rmtree(own_small.node(gone).folder)
    assert f"{gone} @" in up_text(own_small.graph, own_small.node("tokens"))
    assert "(gone from " in up_text(own_small.graph, own_small.node("tokens"))


def test_a_file_name_does_not_speak_to_the_terminal(tmp_path: Path) -> None:
    row = {
        "name": "\x1b[2Jx.txt",
        "uri": "/\x1b]0;x",
        "format": "text",
        "bytes": 1,
        "xxh3_128": "0",
    }
    table = pa.Table.from_pylist([row], schema=LISTING)
    publish(tmp_path, "docs", "source", "listing", tables={"data": table})
    graph = read_graph(tmp_path)
    file = find(graph, "\x1b[2Jx.txt").file
    assert file is not None
    for told in (up_text(graph, graph.nodes[0]), reach_text(file, reach(graph, file))):
        assert "\x1b" not in told
        assert "x.txt" in told
