"""A micro model, micro corpora and the jobs made of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from llada.config import ModelConfig
from llada.training.batch import Vocabulary
from llada.training.config import TrainingConfig
from llada.training.job import TrainingJob
from llada.training.schedule import ScheduleConfig
from llada.training.shards import Shard

MODEL = ModelConfig(
    d_model=32,
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    ffn_hidden=64,
    vocab_size=64,
    max_sequence_length=32,
    mask_token_id=4,
    eos_token_id=1,
)
VOCABULARY = Vocabulary(size=64, mask_id=4, eos_id=1)
SEQ_LEN = 16
SCHEDULE = ScheduleConfig(peak=1e-2, warmup_steps=2, lower=None, final=1e-3)


def training(**changes: object) -> TrainingConfig:
    fields: dict[str, object] = {
        "steps": 12,
        "batch_size": 8,
        "micro_batch_size": 2,
        "seed": 7,
        "random_length_fraction": 0.2,
        "precision": "fp32",
        "checkpoint_every": 4,
        "schedule": SCHEDULE,
    }
    return TrainingConfig.model_validate(fields | changes)


def write_shard(path: Path, table: pa.Table, *, batch_rows: int = 7) -> Shard:
    """Write several record batches, so that row numbers have to cross them."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return Shard(path=str(path), rows=len(table))


def packed_rows(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(5, 64, size=(rows, SEQ_LEN)).astype(np.uint16)


def pretrain_shards(folder: Path, rows: Sequence[int] = (25, 15)) -> tuple[Shard, ...]:
    shards = []
    for number, count in enumerate(rows):
        flat = pa.array(packed_rows(count, seed=number).reshape(-1))
        table = pa.table({"input_ids": pa.FixedSizeListArray.from_arrays(flat, SEQ_LEN)})
        shards.append(write_shard(folder / f"tokens-{number}.arrow", table))
    return tuple(shards)


def sft_shards(folder: Path, pairs: int = 30) -> tuple[Shard, ...]:
    """Write two turns a dialogue; a prompt's first id tells its row apart: 5 + row."""
    rng = np.random.default_rng(3)
    ids = pa.list_(pa.uint16())
    prompts = [[5 + i, *rng.integers(5, 64, rng.integers(0, 6))] for i in range(pairs)]
    responses = [[*rng.integers(5, 64, rng.integers(1, 9)), 1] for _ in range(pairs)]
    table = pa.table(
        {
            "prompt_ids": pa.array(prompts, ids),
            "response_ids": pa.array(responses, ids),
            "doc_id": [f"dialogue-{i // 2}" for i in range(pairs)],
        }
    )
    return (write_shard(folder / "pairs.arrow", table),)


def job(folder: Path, config: TrainingConfig, *, objective: str = "pretrain") -> TrainingJob:
    """Make a job whose corpus, checkpoints and output live in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = sft_shards(folder) if objective == "sft" else pretrain_shards(folder)
    return TrainingJob.model_validate(
        {
            "objective": objective,
            "model": MODEL.model_copy(update={"causal": objective == "autoregressive"}),
            "training": config,
            "shards": shards,
            "checkpoint_dir": str(folder / "checkpoints"),
            "output_dir": str(folder / "model"),
        }
    )
