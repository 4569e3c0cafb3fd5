"""A mask predictor is bounded, the autoregressive baseline is exact; both on the same text."""

import math
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.tokenizer import Tokenizer
from pipelines.evaluate import EvaluateConfig, EvaluateUnit, EvaluateWorker, summary
from pipelines.local_copies import Bundle

ROWS, LENGTH = 3, 12


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the cat sat on the mat, the dog on the log"] * 9, vocab_size=300)


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> EvaluateUnit:
    path = tmp_path_factory.mktemp("tokens") / "held-out.arrow"
    ids = tokenizer.encode("the cat sat on the log, the dog sat on the mat, " * 9)
    flat = pa.array(ids[: ROWS * LENGTH], pa.uint16())
    table = pa.table({"input_ids": pa.FixedSizeListArray.from_arrays(flat, LENGTH)})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return EvaluateUnit(shard="s", task="likelihood", path=str(path), first=0, rows=ROWS)


def worker(folder: Path, tokenizer: Tokenizer, *, causal: bool) -> EvaluateWorker:
    config = ModelConfig.preset(
        "tiny", d_model=32, n_layers=1, n_heads=2, n_kv_heads=2, ffn_hidden=32, causal=causal,
        vocab_size=tokenizer.vocab_size, mask_token_id=tokenizer.special.mask,
        eos_token_id=tokenizer.special.eos,
    )  # fmt: skip
    MaskPredictor(config, rng=torch.Generator().manual_seed(0)).save_pretrained(folder)
    tokenizer.save(folder)
    files = Bundle(((str(folder / "config.json"), ""),))
    asked = EvaluateConfig(gen_length=8, block_length=8, steps=8, prompt_length=4, monte_carlo=4)
    return EvaluateWorker(str(folder), "attempt", files, asked)


def test_the_baseline_scores_all_but_the_first_token_exactly(
    tmp_path: Path, tokenizer: Tokenizer, unit: EvaluateUnit
) -> None:
    arm = worker(tmp_path, tokenizer, causal=True)
    rows = arm.likelihood(unit)
    assert [row["tokens"] for row in rows] == [LENGTH - 1] * ROWS
    metrics, _ = summary({"likelihood": rows, "samples": [], "problems": []})
    assert metrics["nll_nats_per_token"] == pytest.approx(math.log(tokenizer.vocab_size), rel=0.3)
    nats = metrics["nll_nats_per_token"] * ROWS * (LENGTH - 1)
    size = sum(row["bytes"] for row in rows)
    assert metrics["nll_bits_per_byte"] == pytest.approx(nats / math.log(2) / size)
    assert not any(name.startswith("bound") for name in metrics)
    assert len(arm.samples(unit)) == ROWS


def test_a_mask_predictor_keeps_its_bound(
    tmp_path: Path, tokenizer: Tokenizer, unit: EvaluateUnit
) -> None:
    rows = worker(tmp_path, tokenizer, causal=False).likelihood(unit)
    assert [row["tokens"] for row in rows] == [LENGTH] * ROWS
    metrics, _ = summary({"likelihood": rows, "samples": [], "problems": []})
    assert metrics["bound_nats_per_token"] == pytest.approx(math.log(tokenizer.vocab_size), rel=0.3)
    assert metrics["bound_stderr"] > 0
    assert not any(name.startswith("nll") for name in metrics)
