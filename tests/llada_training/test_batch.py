"""What a forward pass reads: who is masked, what it weighs, and that workers do not matter."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llada.training.batch import Batch, Data, PretrainData, SftData
from llada.training.errors import ShardError, TrainingError
from llada.training.loop import share
from llada.training.shards import Shard
from tests.llada_training.tiny import (
    SEQ_LEN,
    VOCABULARY,
    packed_rows,
    pretrain_shards,
    sft_shards,
    training,
    write_shard,
)

ROWS, DIALOGUES = 40, 15
EPOCH_STEPS = 5  # 40 rows in batches of 8
steps = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpora")


@pytest.fixture(scope="module")
def pretrain(folder: Path) -> PretrainData:
    return PretrainData(pretrain_shards(folder), 32, training(), VOCABULARY)


@pytest.fixture(scope="module")
def sft(folder: Path) -> SftData:
    return SftData(sft_shards(folder), 32, training(), VOCABULARY)


def whole(data: Data, step: int) -> Batch:
    return data.batch(step, range(8))


@settings(max_examples=40, deadline=None)
@given(steps, st.sampled_from([(1, 8), (1, 1), (2, 4), (2, 1), (4, 2), (8, 1)]), st.booleans())
def test_workers_and_accumulation_cut_the_same_batch(
    pretrain: PretrainData, sft: SftData, step: int, split: tuple[int, int], tuned: bool
) -> None:
    data: Data = sft if tuned else pretrain
    world, micro = split
    config = training(micro_batch_size=micro)
    parts = [
        data.batch(step, indices) for rank in range(world) for indices in share(config, rank, world)
    ]
    expected = whole(data, step)
    for field in ("noisy_BL", "targets_BL", "masked_BL", "weight_BL"):
        joined = torch.cat([getattr(part, field) for part in parts])
        assert torch.equal(joined, getattr(expected, field)), field


def test_a_batch_that_does_not_divide_says_what_would() -> None:
    with pytest.raises(TrainingError, match="multiple of 6"):
        share(training(), 0, 3)


@given(steps)
def test_only_masked_positions_change_and_become_the_mask(
    pretrain: PretrainData, step: int
) -> None:
    batch = whole(pretrain, step)
    assert torch.equal(batch.noisy_BL[~batch.masked_BL], batch.targets_BL[~batch.masked_BL])
    assert (batch.noisy_BL[batch.masked_BL] == VOCABULARY.mask_id).all()


def test_an_epoch_reads_every_sequence_once(pretrain: PretrainData) -> None:
    corpus = np.concatenate([packed_rows(25, seed=0), packed_rows(15, seed=1)])
    for epoch in range(2):
        read = [
            row.tobytes()
            for step in range(epoch * EPOCH_STEPS, (epoch + 1) * EPOCH_STEPS)
            for row in whole(pretrain, step).targets_BL.numpy().astype(np.uint16)
        ]
        assert sorted(read) == sorted(row.tobytes() for row in corpus)


@given(steps)
def test_a_cut_row_holds_nothing_past_its_length(pretrain: PretrainData, step: int) -> None:
    batch = whole(pretrain, step)
    exists_BL = batch.attention_BL
    if exists_BL is None:
        exists_BL = torch.ones_like(batch.masked_BL)
    assert not (batch.masked_BL & ~exists_BL).any()
    lengths = exists_BL.sum(1)
    assert (lengths >= 1).all()
    assert torch.equal(exists_BL, torch.arange(SEQ_LEN) < lengths[:, None])
    assert pretrain.tokens(step) == lengths.sum()


def test_the_loss_divides_by_the_positions_of_the_global_batch(pretrain: PretrainData) -> None:
    """Trap 1: a micro-batch must not be divided by its own length."""
    step = next(s for s in range(100) if whole(pretrain, s).attention_BL is not None)
    batch = whole(pretrain, step)
    p_B = 1 / (batch.weight_BL[:, 0] * pretrain.tokens(step))
    assert pretrain.tokens(step) < 8 * SEQ_LEN
    assert ((p_B > 0.999e-3) & (p_B < 1.001)).all()
    assert torch.equal(batch.weight_BL, batch.weight_BL[:, :1].expand_as(batch.weight_BL))


def test_the_weights_make_the_loss_unbiased(pretrain: PretrainData, sft: SftData) -> None:
    """E[sum of weights] = 1: a model that knows nothing must score log V."""
    for data in (pretrain, sft):
        batches = [whole(data, step) for step in range(400)]
        mass = np.array([float(b.weight_BL[b.masked_BL].sum()) for b in batches])
        assert abs(mass.mean() - 1) < 4 * mass.std() / len(mass) ** 0.5
        assert mass.std() < 0.5


def test_one_row_in_five_is_cut_and_all_lengths_occur(pretrain: PretrainData) -> None:
    lengths: list[int] = []
    for step in range(500):
        exists_BL = whole(pretrain, step).attention_BL
        lengths += [SEQ_LEN] * 8 if exists_BL is None else exists_BL.sum(1).tolist()
    cut = np.array(lengths)[np.array(lengths) < SEQ_LEN]
    # U[1, 16] is 16 itself now and then: 0.2 * 15 / 16 = 0.1875 of the rows look cut.
    assert 0.16 < len(cut) / len(lengths) < 0.215
    assert set(cut) == set(range(1, SEQ_LEN))


@given(steps)
def test_fine_tuning_masks_responses_and_their_padding_only(sft: SftData, step: int) -> None:
    batch = whole(sft, step)
    for row in range(8):
        pair = int(batch.targets_BL[row, 0]) - 5
        prompt, response = sft._prompts[pair].tolist(), sft._responses[pair].tolist()
        padding = batch.targets_BL.shape[1] - len(prompt) - len(response)
        assert batch.targets_BL[row].tolist() == [*prompt, *response, *[1] * padding]
        assert not batch.masked_BL[row, : len(prompt)].any()
        answer = len(response) + padding
        p = 1 / (float(batch.weight_BL[row, -1]) * answer * 8)
        assert 0.999e-3 < p < 1.001
    assert batch.attention_BL is None  # padding is content: the model must learn to end


def test_padding_is_masked_too_and_rows_are_as_long_as_the_longest_of_all(sft: SftData) -> None:
    masked_padding = 0
    for step in range(40):
        width = whole(sft, step).targets_BL.shape[1]
        alone = [sft.batch(step, range(i, i + 1)) for i in range(8)]
        assert {part.targets_BL.shape[1] for part in alone} == {width}
        assert sft.tokens(step) == 8 * width
        ends = [part.masked_BL[0, -1] & (part.targets_BL[0, -2:] == 1).all() for part in alone]
        masked_padding += sum(map(int, ends))
    assert masked_padding > 20


def test_an_epoch_reads_one_turn_of_every_dialogue(folder: Path) -> None:
    data = SftData(sft_shards(folder), 32, training(batch_size=15, micro_batch_size=1), VOCABULARY)
    pairs = np.array(
        [data.batch(epoch, range(15)).targets_BL[:, 0].numpy() - 5 for epoch in range(20)]
    )
    assert (np.sort(pairs // 2, axis=1) == np.arange(DIALOGUES)).all()
    assert set(pairs.flatten().tolist()) == set(range(30))


def ids(kind: pa.DataType) -> pa.Table:
    return pa.table({"input_ids": pa.array([[5] * SEQ_LEN] * 3, kind)})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (ids(pa.list_(pa.int64(), SEQ_LEN)), "allowed is a list"),
        (ids(pa.list_(pa.uint16())), "allowed is a list"),
        (pa.table({"text": ["a", "b", "c"]}), "needed is 'input_ids'"),
        (pa.table({"input_ids": pa.array([[5] * 64] * 3, pa.list_(pa.uint16(), 64))}), "reads 32"),
    ],
)
def test_a_shard_of_another_kind_is_refused(tmp_path: Path, table: pa.Table, message: str) -> None:
    shard = write_shard(tmp_path / "odd.arrow", table)
    with pytest.raises(ShardError, match=message):
        PretrainData((shard,), 32, training(), VOCABULARY)


def test_a_shard_that_changed_is_refused(tmp_path: Path) -> None:
    shard, _ = pretrain_shards(tmp_path)
    with pytest.raises(ShardError, match="holds 25 rows, its manifest says 26"):
        PretrainData((Shard(path=shard.path, rows=26),), 32, training(), VOCABULARY)
    Path(shard.path).write_bytes(b"not arrow")
    with pytest.raises(ShardError, match="not an Arrow IPC stream"):
        PretrainData((shard,), 32, training(), VOCABULARY)
    with pytest.raises(ShardError, match="no shard at"):
        PretrainData((Shard(path=str(tmp_path / "x"), rows=1),), 32, training(), VOCABULARY)


def test_ids_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    table = pa.table({"input_ids": pa.array([[64] * SEQ_LEN], pa.list_(pa.uint16(), SEQ_LEN))})
    shard = write_shard(tmp_path / "large.arrow", table)
    with pytest.raises(ShardError, match="token id 64 in the data"):
        PretrainData((shard,), 32, training(), VOCABULARY).batch(0, range(1))


LESS_NOISE = {"times": "low_discrepancy", "masks": "exact_count"}


@given(step=steps, tuned=st.booleans())
def test_less_noisy_draws_spread_t_and_mask_exact_counts(
    folder: Path, step: int, tuned: bool
) -> None:
    config = training(noise=LESS_NOISE, random_length_fraction=0.0)
    made = sft_shards(folder) if tuned else pretrain_shards(folder)
    data: Data = (SftData if tuned else PretrainData)(made, 32, config, VOCABULARY)
    batch = whole(data, step)
    grid_B = batch.time_B.sort().values
    assert torch.allclose(grid_B.diff(), torch.full((7,), 1 / 8, dtype=torch.float64))
    if not tuned:
        count_B = batch.masked_BL.sum(1)
        assert torch.equal(count_B, 1 + (batch.time_B * SEQ_LEN).long())
        expected_B = SEQ_LEN / count_B / (8 * SEQ_LEN)
        assert torch.allclose(batch.weight_BL[:, 0], expected_B.float())
    parts = [data.batch(step, range(i, i + 2)) for i in range(0, 8, 2)]
    for field in ("noisy_BL", "weight_BL", "time_B"):
        assert torch.equal(torch.cat([getattr(p, field) for p in parts]), getattr(batch, field))
