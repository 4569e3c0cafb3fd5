"""DeepSpeed, whatever its stage, accumulation and ranks, does what plain torch does."""

import shutil
from pathlib import Path

import pytest
import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.training.batch import PretrainData
from llada.training.config import TrainingConfig
from llada.training.engine import Engine, _decay_groups
from llada.training.errors import TrainingError
from llada.training.job import StepMetrics, TrainingJob
from llada.training.objective import Objective
from llada.training.record import ATTEMPTS, METRICS, read_attempts, read_metrics
from tests.llada_training.plain import train_plainly
from tests.llada_training.ranks import run_alone, run_ranks
from tests.llada_training.tiny import MODEL, VOCABULARY, job, pretrain_shards, training

ONE_RANK: dict[str, dict[str, object]] = {
    "accumulate-1": {"micro_batch_size": 8},
    "accumulate-4": {"micro_batch_size": 2},
    "recomputed": {"micro_batch_size": 8, "activation_checkpointing": True},
    "bf16-long": {"micro_batch_size": 4, "precision": "bf16"},
}
TWO_RANKS: dict[str, dict[str, object]] = {
    "stage-1": {"zero_stage": 1},
    "stage-2": {"zero_stage": 2},
    "stage-3": {"zero_stage": 3, "micro_batch_size": 1, "activation_checkpointing": True},
    "bf16": {"zero_stage": 2, "precision": "bf16"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainingJob]:
    folder = tmp_path_factory.mktemp("ranks")
    one = {name: job(folder / name, training(**each)) for name, each in ONE_RANK.items()}
    one["sft"] = job(folder / "sft", training(), objective="sft")
    two = {name: job(folder / name, training(**each)) for name, each in TWO_RANKS.items()}
    run_ranks(1, list(one.values()), folder)
    run_ranks(2, list(two.values()), folder)
    return one | two


@pytest.fixture(scope="module")
def oracle(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[float], list[float], MaskPredictor]:
    return train_plainly(job(tmp_path_factory.mktemp("plain"), training()))


def history(job: TrainingJob) -> list[StepMetrics]:
    return read_metrics(Path(job.checkpoint_dir) / METRICS, job.training.steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["accumulate-1", "accumulate-4", "recomputed", "stage-1", "stage-2", "stage-3"]
)
def test_every_cut_of_the_work_follows_plain_torch(
    name: str, runs: dict[str, TrainingJob], oracle: tuple[list[float], list[float], MaskPredictor]
) -> None:
    losses, norms, model = oracle
    found = history(runs[name])
    assert [m.loss for m in found] == pytest.approx(losses, rel=2e-4)
    assert [m.grad_norm for m in found] == pytest.approx(norms, rel=2e-3)
    assert [m.step for m in found] == list(range(12))
    exported = MaskPredictor.from_pretrained(runs[name].output_dir)
    for key, expected in model.state_dict().items():
        assert torch.allclose(exported.state_dict()[key], expected, atol=5e-4), key


@pytest.mark.slow
def test_the_same_curve_however_the_work_is_cut(runs: dict[str, TrainingJob]) -> None:
    """One rank, two ranks and twice the accumulation, of stage 1: the inputs are equal (see
    test_batch.py), the sums are taken in another order."""
    one = [m.loss for m in history(runs["accumulate-4"])]
    for name in ("accumulate-1", "stage-1"):
        assert [m.loss for m in history(runs[name])] == pytest.approx(one, rel=1e-5), name


@pytest.mark.slow
def test_recomputed_activations_change_no_bit(runs: dict[str, TrainingJob]) -> None:
    results = [
        (
            [m.loss for m in history(runs[name])],
            (Path(runs[name].output_dir) / "model.safetensors").read_bytes(),
        )
        for name in ("recomputed", "accumulate-1")
    ]
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bf16", "bf16-long"])
def test_bf16_stays_near_and_exports_its_float32_masters(
    name: str, runs: dict[str, TrainingJob], oracle: tuple[list[float], list[float], MaskPredictor]
) -> None:
    assert [m.loss for m in history(runs[name])] == pytest.approx(oracle[0], rel=0.1)
    exported = MaskPredictor.from_pretrained(runs[name].output_dir)
    head = exported.model.transformer.blocks[0].get_parameter("q_proj.weight")
    assert head.dtype == torch.float32
    assert not torch.equal(head, head.bfloat16().float())


@pytest.mark.slow
def test_every_stage_resumes_to_the_same_weights(
    runs: dict[str, TrainingJob], tmp_path: Path
) -> None:
    jobs = [runs[name] for name in TWO_RANKS]
    undisturbed = [(Path(j.output_dir) / "model.safetensors").read_bytes() for j in jobs]
    before = [[m.loss for m in history(j)] for j in jobs]
    for each in jobs:
        (last,) = Path(each.checkpoint_dir).glob("step-000012.*")
        (last / "COMPLETE.json").unlink()
        shutil.rmtree(each.output_dir)
    run_ranks(2, jobs, tmp_path)
    assert [
        read_attempts(Path(j.checkpoint_dir) / ATTEMPTS, "test")[-1].first_step for j in jobs
    ] == [8] * len(jobs)
    assert [[m.loss for m in history(j)] for j in jobs] == before
    resumed = [(Path(j.output_dir) / "model.safetensors").read_bytes() for j in jobs]
    assert resumed == undisturbed


RESHAPED: dict[str, tuple[str, int, dict[str, object]]] = {
    "one-rank-to-two": ("accumulate-4", 2, {"zero_stage": 2}),
    "two-ranks-to-one": ("stage-1", 1, {}),
    "stage-2-to-3": ("stage-2", 2, {"zero_stage": 3, "micro_batch_size": 1}),
    "stage-3-to-1-alone": ("stage-3", 1, {"zero_stage": 1, "micro_batch_size": 4}),
    "bf16-to-stage-3-alone": ("bf16", 1, {"zero_stage": 3}),
}


@pytest.fixture(scope="module")
def reshaped(
    runs: dict[str, TrainingJob], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TrainingJob]:
    """Runs taken up from the eighth step by another world size, stage or micro-batch."""
    folder = tmp_path_factory.mktemp("reshaped")
    jobs = {}
    for name, (before, _, changes) in RESHAPED.items():
        source = runs[before]
        recipe = TrainingConfig.model_validate(source.training.model_dump() | changes)
        moved = {"checkpoint_dir": str(folder / name), "output_dir": str(folder / f"{name}-model")}
        jobs[name] = source.model_copy(update={"training": recipe, **moved})
        assert jobs[name].identity() == source.identity()
        shutil.copytree(source.checkpoint_dir, folder / name)
        (last,) = (folder / name).glob("step-000012.*")
        shutil.rmtree(last)
    for world in (1, 2):
        run_ranks(world, [jobs[n] for n, (_, w, _) in RESHAPED.items() if w == world], folder)
    return jobs


@pytest.mark.slow
@pytest.mark.parametrize("name", RESHAPED)
def test_a_resume_at_another_world_size_or_stage_follows_the_unchanged_run(
    name: str, runs: dict[str, TrainingJob], reshaped: dict[str, TrainingJob]
) -> None:
    before, now = runs[RESHAPED[name][0]], reshaped[name]
    attempts = read_attempts(Path(now.checkpoint_dir) / ATTEMPTS, "test")
    assert [a.first_step for a in attempts][-1] == 8
    # The loss of the first resumed step sees the loaded weights alone, the later ones AdamW's too.
    loose = {"rel": 2e-2} if "bf16" in name else {"rel": 1e-5}
    expected = [m.loss for m in history(before)]
    assert [m.loss for m in history(now)] == pytest.approx(expected, **loose)
    unchanged = MaskPredictor.from_pretrained(before.output_dir).state_dict()
    for key, weight in MaskPredictor.from_pretrained(now.output_dir).state_dict().items():
        assert torch.allclose(weight, unchanged[key], atol=1e-2 if "bf16" in name else 1e-4), key


@pytest.mark.slow
def test_fine_tuning_follows_plain_torch(runs: dict[str, TrainingJob]) -> None:
    losses, _, _ = train_plainly(runs["sft"])
    assert [m.loss for m in history(runs["sft"])] == pytest.approx(losses, rel=2e-4)


def layers_computed(folder: Path) -> None:
    found = {}
    for option in (False, True):
        config = training(micro_batch_size=8, activation_checkpointing=option)
        data = PretrainData(pretrain_shards(folder), 32, config, VOCABULARY)
        model, calls = fresh(MODEL), []
        model.model.transformer.blocks[0].register_forward_pre_hook(
            lambda *_, to=calls: to.append(1)
        )
        Engine(model, config, accumulation=1).step([data.batch(0, range(8))], 1e-3)
        found[option] = len(calls)
    assert found == {False: 1, True: 2}


def test_checkpointed_activations_compute_each_layer_twice(tmp_path: Path) -> None:
    run_alone(layers_computed, tmp_path)


def losses_of_compiled_layers(folder: Path) -> None:
    losses = {}
    for option in (False, True):
        config = training(micro_batch_size=8, compile=option)
        data = PretrainData(pretrain_shards(folder), 32, config, VOCABULARY)
        model = fresh(MODEL.model_copy(update={"n_layers": 1}))
        engine = Engine(model, config, accumulation=1)
        losses[option] = [engine.step([data.batch(0, range(8))], 1e-2).loss for _ in range(3)]
        (block,) = model.model.transformer.blocks
        assert (block._compiled_call_impl is not None) == option
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
def test_compiled_layers_follow_the_plain_ones(tmp_path: Path) -> None:
    run_alone(losses_of_compiled_layers, tmp_path)


def offloading(_: Path) -> None:
    with pytest.raises(TrainingError, match="found no GPU here"):
        Engine(fresh(MODEL), training(offload_optimizer=True), accumulation=4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here: offloading frees its memory")
def test_an_option_that_would_do_nothing_here_is_refused(tmp_path: Path) -> None:
    run_alone(offloading, tmp_path)


@pytest.mark.parametrize("tied", [False, True])
def test_every_matrix_decays_and_no_norm_does(tied: bool) -> None:
    """Trap 17: the head and a matrix of every block are both called ff_out."""
    model = fresh(MODEL.model_copy(update={"tied_embeddings": tied}))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, left = (
        {names[id(parameter)] for parameter in group["params"]}
        for group in _decay_groups(model, 0.1)
    )
    assert decayed | left == set(names.values())
    assert all("norm" in name or "ln_f" in name for name in left)
    assert len(left) == 2 * MODEL.n_layers + 1
    heads = {name for name in decayed if name.endswith("ff_out.weight")}
    assert len(heads) == MODEL.n_layers + (not tied)


def fresh(config: ModelConfig) -> MaskPredictor:
    return MaskPredictor(config, rng=torch.Generator().manual_seed(0))


def test_a_cut_row_costs_what_the_short_text_alone_would_cost(tmp_path: Path) -> None:
    config = training(random_length_fraction=1.0)
    data = PretrainData(pretrain_shards(tmp_path), 32, config, VOCABULARY)
    model = MaskPredictor(MODEL, rng=torch.Generator().manual_seed(0))
    objective = Objective(model, chunk_rows=1000)
    for index in range(8):
        cut = data.batch(0, range(index, index + 1))
        assert cut.attention_BL is not None
        length = int(cut.attention_BL.sum())
        alone = [part[:, :length] for part in cut[:4]]
        expected = objective(*alone, None, cut.time_B)[0].item()
        assert objective(*cut)[0].item() == pytest.approx(expected, rel=1e-5)
