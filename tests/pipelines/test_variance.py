"""What the noise of two trainings is compared by: the spread, and one run of the stage."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from llada.model import MaskPredictor
from llada.training.batch import Batch, PretrainData
from llada.training.errors import TrainingError
from llada.training.gradient_noise import SCHEDULES, on_rows, spread
from llada.training.job import StepMetrics
from llada.training.objective import Objective
from llada.training.record import METRICS
from pipelines.errors import InputError
from pipelines.shards import FileEntry, ShardFiles, describe, settle
from pipelines.storage import write_bytes
from pipelines.variance import VarianceConfig, run
from pipelines.workspace import InputArtifact
from tests.llada_training.tiny import (
    MODEL,
    SEQ_LEN,
    VOCABULARY,
    packed_rows,
    pretrain_shards,
    training,
)
from tests.support.stages import workspace


def model() -> MaskPredictor:
    return MaskPredictor(MODEL, rng=torch.Generator().manual_seed(0))


def batches(folder: Path, noise: str, count: int) -> list[Batch]:
    shards = pretrain_shards(folder)
    found = []
    for seed in range(count):
        config = training(seed=seed, noise=SCHEDULES[noise], random_length_fraction=0.0)
        data = PretrainData(shards, SEQ_LEN, config, VOCABULARY)
        found.append(data.batch(0, range(8)))
    return found


def gradients(batches: list[Batch]) -> torch.Tensor:
    rows = []
    for batch in batches:
        measured = model()
        Objective(measured, 1000)(*batch)[0].backward()
        rows.append(torch.cat([p.grad.flatten() for p in measured.parameters()]))  # type: ignore[union-attr]
    return torch.stack(rows).double()


def test_the_spread_is_the_trace_of_the_covariance_over_the_signal(tmp_path: Path) -> None:
    drawn = batches(tmp_path, "paper", 12)
    found_NW = gradients(drawn)
    variance = found_NW.var(dim=0).sum()
    signal = found_NW.mean(0).square().sum() - variance / len(drawn)
    norms = found_NW.square().sum(dim=1)
    found = spread(model(), drawn)
    assert found.gradient == pytest.approx(float(variance / signal), rel=1e-6)
    error = norms.std() / len(drawn) ** 0.5
    assert found.gradient_error == pytest.approx(float(error / signal), rel=1e-6)
    assert spread(model(), drawn[:1] * 3) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
    with pytest.raises(TrainingError, match="over 1 batches"):
        spread(model(), drawn[:1])


def test_on_the_same_rows_only_times_and_masks_differ(tmp_path: Path) -> None:
    first, second = batches(tmp_path, "both", 2)
    put = on_rows(second, first, MODEL.mask_token_id)
    assert torch.equal(put.targets_BL, first.targets_BL)
    assert torch.equal(put.masked_BL, second.masked_BL)
    assert (put.noisy_BL[put.masked_BL] == MODEL.mask_token_id).all()
    assert torch.equal(put.noisy_BL[~put.masked_BL], first.targets_BL[~put.masked_BL])


def tokens(folder: Path) -> InputArtifact:
    files = ShardFiles(folder / "tokens", "00000", "aaaa")
    flat = pa.array(packed_rows(40).reshape(-1))
    files.write_arrow(
        pa.table({"input_ids": pa.FixedSizeListArray.from_arrays(flat, SEQ_LEN)}), "data"
    )
    return InputArtifact("tokens", "tokens", "0" * 64, folder / "tokens", files.entries)


def trained(folder: Path, name: str, held_out: dict[int, float], trained_on: int) -> InputArtifact:
    root = folder / name
    model().save_pretrained(root / "model")
    lines = [
        StepMetrics(
            step=step, loss=3.0, learning_rate=1e-3, grad_norm=2.0, tokens=128, seconds=0.5,
            tokens_per_second=256.0, cross_entropy=3.0, loss_by_t=(), flops_per_second=1e9,
            val_loss=held_out.get(step + 1), interventions=0,
        )
        for step in range(4)
    ]  # fmt: skip
    path = root / "aside" / METRICS
    text = "".join(line.model_dump_json() + "\n" for line in lines)
    written = write_bytes(path, text.encode())
    entry: FileEntry = describe(root, path, written, "aside", shard=METRICS, rows=len(lines))
    info = {"losses": [3.0] * 4, "tokens": trained_on, "objective": "pretrain"}
    files = (*settle(root, root / "model", "model"), entry)
    return InputArtifact(name, "pretrain", "1" * 64, root, files, info)


def test_two_trainings_become_one_comparison(tmp_path: Path) -> None:
    inputs = {
        "paper": trained(tmp_path, "paper", {2: 3.5, 4: 3.25}, 512),
        "other": trained(tmp_path, "other", {2: 3.4, 3: 3.3, 4: 3.0}, 512),
        "tokens": tokens(tmp_path),
    }
    output = run(workspace(tmp_path, inputs), VarianceConfig(draws=24, batch_size=8))
    assert output.info["held_out"] == [(2, 3.5, 3.4), (4, 3.25, 3.0)]
    noise = output.info["noise"]
    for rows in ("same_rows", "other_rows"):
        assert noise[f"both_gradient_noise_{rows}"] < noise[f"paper_gradient_noise_{rows}"]
        assert noise[f"both_loss_spread_{rows}"] < noise[f"paper_loss_spread_{rows}"]
    table = (tmp_path / "out" / "report" / "table.md").read_text()
    assert "| 4 | 3.2500 | 3.0000 | -0.2500 |" in table
    shown, error = (noise[f"both_gradient_{what}_same_rows"] for what in ("noise", "error"))
    assert f"| both | {shown:.3f} +- {error:.3f} |" in table
    one = json.loads((tmp_path / "out" / "report" / "both.json").read_text())
    assert one["both_loss_spread_same_rows"] == noise["both_loss_spread_same_rows"]


def test_unlike_or_unmeasured_trainings_are_refused(tmp_path: Path) -> None:
    inputs = {
        "paper": trained(tmp_path, "paper", {2: 3.5}, 512),
        "other": trained(tmp_path, "longer", {2: 3.5}, 1024),
        "tokens": tokens(tmp_path),
    }
    with pytest.raises(InputError, match=r"paper and longer differ in their tokens: 512 and 1024"):
        run(workspace(tmp_path, inputs), VarianceConfig())
    inputs["other"] = trained(tmp_path, "blind", {}, 512)
    with pytest.raises(InputError, match=r"at no common step; set validate_every"):
        run(workspace(tmp_path, inputs), VarianceConfig())
