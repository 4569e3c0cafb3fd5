"""The baseline's objective: the same rows, every token asked for from those before it."""

import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from llada.autoregressive import arm_log_likelihood
from llada.model import MaskPredictor
from llada.training.batch import PretrainData
from llada.training.next_token import NextTokenData
from llada.training.objective import Objective
from pipelines.pretrain import PretrainConfig
from tests.llada_training.plain import train_plainly
from tests.llada_training.test_engine import history, run_ranks
from tests.llada_training.tiny import MODEL, SEQ_LEN, VOCABULARY, job, pretrain_shards, training

CAUSAL = MODEL.model_copy(update={"causal": True})


def test_both_objectives_read_the_same_rows_cut_alike(tmp_path: Path) -> None:
    shards, config = pretrain_shards(tmp_path), training(random_length_fraction=0.5)
    noisy = PretrainData(shards, 32, config, VOCABULARY)
    clean = NextTokenData(shards, 32, config, VOCABULARY)
    for step in range(5):
        theirs, ours = noisy.batch(step, range(8)), clean.batch(step, range(8))
        assert torch.equal(theirs.targets_BL, ours.noisy_BL)
        assert theirs.attention_BL is not None
        assert torch.equal(theirs.attention_BL.sum(1) - 1, ours.masked_BL.sum(1))
        assert clean.tokens(step) == noisy.tokens(step)


def test_the_loss_is_the_mean_over_all_predictions(tmp_path: Path) -> None:
    data = NextTokenData(
        pretrain_shards(tmp_path), 32, training(random_length_fraction=0.5), VOCABULARY
    )
    model = MaskPredictor(CAUSAL, rng=torch.Generator().manual_seed(0))
    objective = Objective(model, chunk_rows=5)
    whole = data.batch(0, range(8))
    total, count = 0.0, 0
    for ids_L, predicts_L in zip(whole.noisy_BL, whole.masked_BL, strict=True):
        length = int(predicts_L.sum()) + 1
        total -= arm_log_likelihood(model, ids_L[:1], ids_L[1:length]).value if length > 1 else 0
        count += length - 1
    assert count < 8 * (SEQ_LEN - 1)
    assert objective(*whole)[0].item() == pytest.approx(total / count, rel=1e-5)
    parts = [objective(*data.batch(0, range(i, i + 2)))[0].item() for i in range(0, 8, 2)]
    assert sum(parts) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.slow
def test_the_baseline_trains_on_two_ranks_and_resumes_to_the_same_weights(tmp_path: Path) -> None:
    ours = job(tmp_path / "arm", training(), objective="autoregressive")
    run_ranks(2, [ours], tmp_path)
    losses, _, _ = train_plainly(ours)
    assert [m.loss for m in history(ours)] == pytest.approx(losses, rel=2e-4)
    weights = Path(ours.output_dir) / "model.safetensors"
    undisturbed = weights.read_bytes()
    (last,) = Path(ours.checkpoint_dir).glob("step-000012.*")
    (last / "COMPLETE.json").unlink()
    shutil.rmtree(ours.output_dir)
    run_ranks(2, [ours], tmp_path)
    assert weights.read_bytes() == undisturbed
    assert MaskPredictor.from_pretrained(ours.output_dir).config.causal


def test_a_mismatch_of_objective_and_model_is_refused(tmp_path: Path) -> None:
    """Trap 22 as well: no mask predictor grows out of a baseline, whose mask row has decayed."""
    fields = job(tmp_path, training()).model_dump()
    with pytest.raises(ValidationError, match="train a model of causal=True"):
        type(job(tmp_path, training())).model_validate({**fields, "objective": "autoregressive"})
    model = {**fields["model"], "causal": True}
    with pytest.raises(ValidationError, match="train a model of causal=False"):
        type(job(tmp_path, training())).model_validate({**fields, "model": model})
    with pytest.raises(ValidationError, match="objective: autoregressive"):
        PretrainConfig(steps=1, model="arm-1b", schedule={"warmup_steps": 0})  # type: ignore[arg-type]
