"""The stages of the reversal experiment, with an untrained model: what is asked, how it counts."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from llada import reversal as world
from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.tokenizer import Tokenizer
from pipelines.reversal import AskConfig, ask, summary, write_down
from pipelines.shards import settle
from pipelines.workspace import InputArtifact
from tests.support.stages import rows_of, workspace
from tests.support.stores import publish
from workflows.summary import page

CONFIG = world.ReversalConfig(people=8)


def tokens_of(folder: Path) -> InputArtifact:
    at = workspace(folder / "world", {})
    made = write_down(at, CONFIG)
    return InputArtifact("world", "reversal_world", "0" * 64, at.root, made.files, made.info)


def untrained(folder: Path, tokens: InputArtifact, *, causal: bool) -> InputArtifact:
    special = Tokenizer.load(tokens.bundle("aside").folder()).special
    config = ModelConfig.preset(
        "pico",
        vocab_size=tokens.info["vocab_size"],
        mask_token_id=special.mask,
        eos_token_id=special.eos,
        max_sequence_length=tokens.info["sequence_length"],
        causal=causal,
    )
    root = folder / "model"
    model = MaskPredictor(config, rng=torch.Generator().manual_seed(0))
    model.save_pretrained(root / "model")
    for path in tokens.paths("aside"):
        (root / "model" / Path(str(path)).name).write_bytes(path.read_bytes())
    files = settle(root, root / "model", "model")
    info = {"model": config.model_dump(mode="json")}
    return InputArtifact("trained", "pretrain", "1" * 64, root, files, info)


def test_a_row_of_training_text_is_one_sentence_and_ends(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path)
    tokenizer = Tokenizer.load(tokens.bundle("aside").folder())
    with pa.memory_map(str(tokens.paths()[0])) as source:
        rows = pa.ipc.open_stream(source).read_all()["input_ids"].to_pylist()
    told = world.sentences(world.people(CONFIG))
    assert [tokenizer.decode(row) for row in rows] == told
    assert all(row[-2:] == [tokenizer.special.eos] * 2 for row in rows)
    assert {len(row) for row in rows} == {tokens.info["sequence_length"]}


def test_a_world_is_told_on_the_page_like_other_tokens(tmp_path: Path) -> None:
    made = write_down(workspace(tmp_path, {}), CONFIG)
    info = {"info": made.info, "metrics": made.metrics, "ledger": made.ledger}
    artifact = publish(tmp_path / "store", "world", "reversal_world", "tokens", **info)
    text = page({"world": artifact}, tmp_path / "store", recipe="r", run_id="1", tracking="")
    words = 8 * 6 + 4 * 6  # eight people told of forward, four of them backward; 6 tokens each
    assert f"{words + 12} in 12 sequences of 8, 0 held out" in text
    assert made.metrics["padding"] == 12 * 8 - (words + 12)


@pytest.mark.parametrize("causal", [False, True])
def test_every_person_is_asked_each_way_the_model_can_be(tmp_path: Path, causal: bool) -> None:
    tokens = tokens_of(tmp_path)
    model = untrained(tmp_path, tokens, causal=causal)
    output = ask(workspace(tmp_path, {"model": model, "tokens": tokens}), AskConfig())
    rows = rows_of(tmp_path, output, "report")
    ways = {row["way"] for row in rows}
    assert ways == ({"forward", "backward"} if causal else {"forward", "backward", "filled_in"})
    assert len(rows) == 8 * len(ways)
    assert {
        f"{way}_told_{told}_way{s}" for way in ways for told, s in (("one", ""), ("both", "s"))
    } == (set(output.metrics))
    assert not any(row["expected"].strip(" .") in row["asked"] for row in rows)


def test_shares_are_counted_apart_by_way_and_by_how_one_was_told() -> None:
    rows = [
        {"way": "backward", "told_backward": both, "right": right}
        for both, right in [(True, True), (True, True), (False, False), (False, True)]
    ]
    metrics, _ = summary(rows)
    assert metrics == {"backward_told_both_ways": 1.0, "backward_told_one_way": 0.5}
