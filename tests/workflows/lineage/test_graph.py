"""The graph of a store: walks that end, twins that are one, folders that are gone."""

import shutil
from pathlib import Path

from tests.support.stores import SmallStore, publish
from workflows.lineage.graph import Input, Node, read_graph


def names(nodes: list[Node]) -> list[str]:
    return [node.name for node in nodes]


def test_stages_that_pass_their_input_through_are_walked_once(tmp_path: Path) -> None:
    a = publish(tmp_path, "a", digest="d1" * 32)
    b = publish(tmp_path, "b", inputs={"documents": a}, digest="d1" * 32)
    publish(tmp_path, "c", inputs={"documents": b}, digest="d1" * 32)
    graph = read_graph(tmp_path)
    assert names(graph.down(graph.nodes[0])) == ["a", "b", "c"]
    assert names(graph.up(graph.nodes[2])) == ["a", "b", "c"]
    assert names(graph.down(graph.nodes[1])) == ["b", "c"]


def test_a_circle_of_names_and_digests_does_not_hang(tmp_path: Path) -> None:
    a = publish(tmp_path, "a", digest="d1" * 32)
    b = publish(tmp_path, "b", inputs={"documents": a}, digest="d2" * 32)
    publish(tmp_path, "a", inputs={"documents": b}, digest="d1" * 32, key="f" * 64)
    graph = read_graph(tmp_path)
    assert sorted(names(graph.up(graph.nodes[-1]))) == ["a", "b"]
    assert sorted(names(graph.down(graph.nodes[0]))) == ["a", "b"]


def test_inputs_come_before_what_is_made_of_them(small: SmallStore) -> None:
    up = names(small.graph.up(small.node("tokens")))
    assert up == sorted(up, key=["docs", "text", "clean", "unique", "bpe", "tokens"].index)
    assert len(up) == 6


def test_what_was_built_from_a_twin_of_the_same_content_is_found(small: SmallStore) -> None:
    again = small.node("clean", run=2)
    assert again.folder != small.node("clean").folder
    assert names(small.graph.down(again)) == ["clean", "unique", "bpe", "tokens"]
    assert small.node("unique") in small.graph.children(again)
    assert small.node("unique", run=1) not in small.graph.down(again)


def test_down_reaches_every_run_of_the_store(small: SmallStore) -> None:
    down = small.graph.down(small.node("text"))
    assert names(down).count("tokens") == 2
    assert {node.run_id for node in down} == set(small.runs[:2])


def test_a_slot_is_filled_by_its_folder_or_by_a_twin_of_it(own_small: SmallStore) -> None:
    ref = own_small.node("unique").inputs["documents"]
    filled = own_small.graph.filled_by(ref)
    assert filled is not None
    assert filled.run_id == own_small.runs[0]
    shutil.rmtree(filled.folder)
    twin = own_small.graph.filled_by(ref)
    assert twin is not None
    assert (twin.run_id, twin.digest) == (own_small.runs[2], filled.digest)
    assert own_small.graph.filled_by(Input(name="x", kind="y", digest="z", path="p")) is None


def test_a_manifest_of_another_version_is_named_and_hides_nothing(own_small: SmallStore) -> None:
    folder = own_small.node("tokens").folder
    (folder / "manifest.json").write_text('{"name": "tokens"}')
    graph = own_small.graph
    assert graph.unreadable == (folder,)
    assert "unique" in names(list(graph.nodes))


def test_what_lies_beside_the_artifacts_is_not_one(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    shutil.copytree(next(tmp_path.glob("dedup/*")), tmp_path / "_refs" / "tags")
    assert len(read_graph(tmp_path).nodes) == 1
    assert read_graph(tmp_path / "missing").nodes == ()
