"""What is told of a step: the loss by t, and the arithmetic."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812  (its usual name)

from llada.model import MaskPredictor
from llada.training.batch import PretrainData
from llada.training.metrics import Clock, Measured, step_flops, step_metrics
from llada.training.objective import Objective
from llada.training.tally import T_BUCKETS
from tests.llada_training.tiny import MODEL, VOCABULARY, job, pretrain_shards, training


def test_the_loss_by_t_is_the_mean_over_masked_tokens_of_such_rows(tmp_path: Path) -> None:
    data = PretrainData(pretrain_shards(tmp_path), 32, training(), VOCABULARY)
    model = MaskPredictor(MODEL, rng=torch.Generator().manual_seed(0))
    batch = data.batch(3, range(8))
    _, tallied = Objective(model, chunk_rows=7)(*batch)
    parts = [Objective(model, 1000)(*data.batch(3, range(i, i + 2)))[1] for i in range(0, 8, 2)]
    assert torch.allclose(sum(parts), tallied)
    logits_BLV = model(batch.noisy_BL, batch.attention_BL)
    for bucket in range(T_BUCKETS):
        ce, count = 0.0, 0
        for row in range(8):
            if bucket / T_BUCKETS <= batch.time_B[row] < (bucket + 1) / T_BUCKETS:
                masked_L = batch.masked_BL[row]
                targets = batch.targets_BL[row][masked_L]
                ce += F.cross_entropy(logits_BLV[row][masked_L], targets, reduction="sum").item()
                count += len(targets)
        assert tallied[bucket].item() == pytest.approx(ce, rel=1e-4)
        assert tallied[T_BUCKETS + bucket].item() == count


def test_flops_count_what_exists_and_what_the_head_ran() -> None:
    body = 2 * (2 * 32 * (32 + 32) + 3 * 32 * 64 + 2 * 32) + 32
    for model, share in ((MODEL, 1.0), (MODEL.model_copy(update={"causal": True}), 0.5)):
        attention = share * 12 * 2 * 32 * (16**2 + 4**2)
        expected = 6 * body * 20 + attention + 6 * 32 * 64 * 9
        assert step_flops(model, [16, 4], 9) == pytest.approx(expected)


def test_utilisation_is_told_only_where_the_peak_is_known(tmp_path: Path) -> None:
    made = job(tmp_path, training(random_length_fraction=0.0))
    data = PretrainData(made.shards, 32, made.training, VOCABULARY)
    tallied = (8.0, 0.0, 6.0, 3.0, 2.0, 0.0, 3.0, 1.0)
    for peak, mfu in ((None, None), (1e9, step_flops(MODEL, [16] * 8, 6) / 2.0 / 1e9)):
        line = step_metrics(
            made.model_copy(update={"peak_flops": peak}), data, 5, 9, Measured(1.0, 2.0, tallied),
            rate=0.1, clock=Clock(2.0, 0.5), interventions=0,
        )  # fmt: skip
        assert line.mfu == mfu
        assert line.loss_by_t == (4.0, None, 2.0, 3.0)
        assert (line.cross_entropy, line.masked, line.tokens) == (17 / 6, 6, 128)
        numbers = line.numbers()
        assert ("mfu" in numbers) == (mfu is not None)
        assert numbers["loss_t_0.50_0.75"] == 2.0
        assert "loss_t_0.25_0.50" not in numbers
        assert "step" not in numbers
