"""Times and masks: unbiased to the last mask (by enumeration), and even over the global batch."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llada import noise
from llada.config import ModelConfig
from llada.diffusion import pretrain_loss, sft_loss, weighted_masked_loss
from llada.errors import LladaError
from llada.model import MaskPredictor

MASK = 4
EPS = 1e-3
Seeded = Callable[[int], torch.Generator]
Surprise = Callable[[Tensor, Tensor], float]
"""(ids_L, masked_L) -> cross-entropy summed over the masked positions, in float64."""


@pytest.fixture(scope="module")
def surprise(config: ModelConfig) -> Surprise:
    model = MaskPredictor(config, rng=torch.Generator().manual_seed(0)).requires_grad_(False)
    model = model.double()
    known: dict[tuple[int, ...], float] = {}

    def of(ids_L: Tensor, masked_L: Tensor) -> float:
        key = (*ids_L.tolist(), *masked_L.tolist())
        if key not in known:
            row, hidden = ids_L[None], masked_L[None]
            known[key] = weighted_masked_loss(
                model, row.masked_fill(hidden, MASK), row, hidden, torch.ones(row.shape)
            ).item()
        return known[key]

    return of


def sets_of(ids_L: Tensor, positions: list[int]) -> list[Tensor]:
    """Every non-empty set of the positions."""
    chosen = []
    for count in range(1, len(positions) + 1):
        for hidden in itertools.combinations(positions, count):
            masked_L = torch.zeros(len(ids_L), dtype=torch.bool)
            masked_L[list(hidden)] = True
            chosen.append(masked_L)
    return chosen


def eq_14(surprise: Surprise, ids_L: Tensor, positions: list[int]) -> float:
    """Sum over the n of (mean over the sets of n of their surprise) / n."""
    total, size = 0.0, len(positions)
    for masked_L in sets_of(ids_L, positions):
        n = int(masked_L.sum())
        total += surprise(ids_L, masked_L) / n / math.comb(size, n)
    return total


def loss_of(
    surprise: Surprise, ids_BL: Tensor, masked_BL: Tensor, weight_B: Tensor, row: int = 0
) -> float:
    return weight_B[row].item() * surprise(ids_BL[row], masked_BL[row])


def maskable(length: int, positions: list[int]) -> Tensor:
    row = torch.zeros(1, length, dtype=torch.bool)
    row[:, positions] = True
    return row


def expected_bernoulli(
    surprise: Surprise, ids_L: Tensor, positions: list[int], eps: float
) -> float:
    """Integrate over t exactly (the integrand is a polynomial) and sum over every mask."""
    nodes, masses = np.polynomial.legendre.leggauss(8)
    total = 0.0
    for node, mass in zip((nodes + 1) / 2, masses / 2, strict=True):
        t_B = torch.tensor([node], dtype=torch.float64)
        for hidden_L in sets_of(ids_L, positions):
            keys_BL = torch.where(hidden_L, 0.0, 1.0).double()[None]
            masked_BL, weight_B = noise.bernoulli_masks(
                t_B, keys_BL, maskable(len(ids_L), positions), eps
            )
            assert torch.equal(masked_BL[0], hidden_L)
            p, n = noise.mask_probability(t_B, eps).item(), int(hidden_L.sum())
            chance = p**n * (1 - p) ** (len(positions) - n)
            total += mass * chance * loss_of(surprise, ids_L[None], masked_BL, weight_B)
    return total


def expected_exact_count(surprise: Surprise, ids_L: Tensor, positions: list[int]) -> float:
    """Average over every order of the keys, and a time in each of the equal parts of [0, 1)."""
    size, found = len(positions), []
    for n in range(size):
        t_B = torch.tensor([(n + 0.5) / size], dtype=torch.float64)
        for order in itertools.permutations(range(size)):
            keys_BL = torch.zeros(1, len(ids_L), dtype=torch.float64)  # a prompt sorts first
            keys_BL[0, positions] = torch.tensor(order, dtype=torch.float64) / size
            masked_BL, weight_B = noise.exact_count_masks(
                t_B, keys_BL, maskable(len(ids_L), positions), EPS
            )
            found.append(loss_of(surprise, ids_L[None], masked_BL, weight_B))
    return sum(found) / len(found)


# A text of 1 to 4 tokens, and the answers of 1 to 3 tokens after a prompt.
CASES = [(length, list(range(length))) for length in (1, 2, 3, 4)] + [
    (4, [3]),
    (4, [1, 2, 3]),
    (5, [2, 3]),  # with padding behind it that is no target
]


@pytest.mark.parametrize(("length", "positions"), CASES)
def test_both_masks_estimate_the_same_loss(
    surprise: Surprise, length: int, positions: list[int]
) -> None:
    ids_L = torch.arange(20, 20 + length)
    truth = eq_14(surprise, ids_L, positions)
    assert expected_exact_count(surprise, ids_L, positions) == pytest.approx(truth, abs=1e-9)
    assert expected_bernoulli(surprise, ids_L, positions, 0.0) == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize("eps", [1e-3, 0.2])
def test_the_floor_takes_from_the_smallest_counts(surprise: Surprise, eps: float) -> None:
    """What noise.py states of eps; the Beta probabilities of L = 3 are polynomials."""
    ids_L, positions = torch.arange(20, 23), [0, 1, 2]
    below = {1: 1 - (1 - eps) ** 3, 2: 3 * eps**2 - 2 * eps**3, 3: eps**3}
    expected = 0.0
    for masked_L in sets_of(ids_L, positions):
        n = int(masked_L.sum())
        share = (1 - below[n]) / (1 - eps)
        expected += share * surprise(ids_L, masked_L) / n / math.comb(3, n)
    found = expected_bernoulli(surprise, ids_L, positions, eps)
    assert found == pytest.approx(expected, abs=1e-9)
    assert found != pytest.approx(eq_14(surprise, ids_L, positions), abs=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_low_discrepancy_times_are_unbiased(surprise: Surprise, rows: int) -> None:
    """Average over the shift (the loss is constant between multiples of 1/12 of a step)."""
    length = 4
    texts_BL = torch.arange(20, 20 + rows * length).reshape(rows, length)
    positions = list(range(length))
    truth = sum(eq_14(surprise, ids_L, positions) for ids_L in texts_BL)
    everything_BL = torch.ones_like(texts_BL, dtype=torch.bool)
    cells = rows * length
    found = 0.0
    for cell in range(cells):
        shift = torch.tensor([(cell + 0.5) / cells], dtype=torch.float64)
        t_B = noise.times("low_discrepancy")(shift.expand(rows))
        for order in itertools.permutations(range(length)):
            keys_BL = (torch.tensor(order, dtype=torch.float64) / length).expand(rows, -1)
            masked_BL, weight_B = noise.exact_count_masks(t_B, keys_BL, everything_BL, EPS)
            found += sum(loss_of(surprise, texts_BL, masked_BL, weight_B, b) for b in range(rows))
    assert found / cells / math.factorial(length) == pytest.approx(truth, abs=1e-9)


@settings(max_examples=30)
@given(
    st.integers(1, 1500),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([1, 2, 4, 8]),
)
def test_the_global_batch_is_a_grid_and_every_part_is_even(
    size: int, shift: float, workers: int
) -> None:
    t_G = noise.stratified_times(shift, range(size), size)
    assert ((t_G >= 0) & (t_G < 1)).all()
    gaps = t_G.sort().values.diff()
    if size > 1:
        assert gaps.min().item() == pytest.approx(1 / size, abs=1e-9)
        assert gaps.max().item() == pytest.approx(1 / size, abs=1e-9)
    per = size // workers
    for worker in range(workers if per else 0):
        rows = torch.arange(worker * per, (worker + 1) * per)
        mine = noise.stratified_times(shift, rows, size)
        assert torch.equal(mine, t_G[rows])  # a worker needs no other's
        assert abs(mine.mean().item() - 0.5) < (1 + math.log2(per)) / per


@pytest.mark.parametrize("size", [16, 256, 1280])
def test_a_micro_batch_of_four_sees_high_and_low_noise(size: int) -> None:
    t = noise.stratified_times(0.3, range(size), size).reshape(-1, 4)
    assert (t.max(1).values - t.min(1).values).min() > 0.4


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(0, 2**31), st.floats(0, 1, exclude_max=True))
def test_a_count_is_a_count_of_the_maskable(length: int, seed: int, t: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    maskable_BL = torch.rand(3, length, generator=rng) < 0.6
    keys_BL = torch.rand(3, length, generator=rng)
    masked_BL, weight_B = noise.exact_count_masks(torch.full((3,), t), keys_BL, maskable_BL, EPS)
    assert not (masked_BL & ~maskable_BL).any()
    for answer, masked, weight in zip(
        maskable_BL.sum(1).tolist(), masked_BL.sum(1).tolist(), weight_B.tolist(), strict=True
    ):
        assert masked == min(answer, 1 + math.floor(np.float32(t).item() * answer))
        assert weight * masked == pytest.approx(answer or 0, rel=1e-6)


def test_every_set_of_a_count_is_equally_likely(seeded: Seeded) -> None:
    keys = torch.rand(20_000, 4, generator=seeded(1))
    masked = noise.exact_count_mask(keys, torch.full((20_000,), 2))
    code = (masked * torch.tensor([1, 2, 4, 8])).sum(1)
    assert code.unique().tolist() == [3, 5, 6, 9, 10, 12]
    assert code.bincount()[code.unique()].tolist() == pytest.approx([20_000 / 6] * 6, rel=0.07)


def uniform_predictor(ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    return torch.zeros(*ids_BL.shape, 30)


@pytest.mark.parametrize("times", noise.TIMES)
def test_an_exact_count_scores_ignorance_exactly(seeded: Seeded, times: str) -> None:
    """Trap 2: with Eq. 8 one short answer in 21 has no mask, no loss and no gradient."""
    ids_BL = torch.full((8, 25), 20)
    prompts, answers = torch.full((8,), 5), torch.full((8,), 20)
    found = [
        sft_loss(uniform_predictor, ids_BL, prompts, answers, mask_id=MASK, rng=seeded(seed),
                 times=times, masks="exact_count").item()
        for seed in range(5)
    ]  # fmt: skip
    assert found == pytest.approx([math.log(30)] * 5, rel=1e-5)
    found = pretrain_loss(
        uniform_predictor, ids_BL, mask_id=MASK, rng=seeded(0), times=times, masks="exact_count"
    )
    assert found.item() == pytest.approx(math.log(30), rel=1e-5)


def test_no_weight_of_the_tail_is_beyond_the_answer(seeded: Seeded) -> None:
    """Trap 2: 1/p reaches 1000 near t = 0, where the weight of an exact count is at most A."""
    t_B = torch.tensor([0.0, 1e-9, 0.04])
    keys_BL, all_BL = torch.rand(3, 20, generator=seeded(0)), torch.ones(3, 20, dtype=torch.bool)
    _, bernoulli = noise.bernoulli_masks(t_B, keys_BL, all_BL, EPS)
    masked_BL, exact = noise.exact_count_masks(t_B, keys_BL, all_BL, EPS)
    assert bernoulli.tolist() == pytest.approx([1000.0, 1000.0, 1 / 0.04096], rel=1e-3)
    assert exact.tolist() == [20.0] * 3
    assert masked_BL.sum(1).tolist() == [1, 1, 1]


@pytest.mark.parametrize("masks", noise.MASKS)
@pytest.mark.parametrize("times", noise.TIMES)
def test_every_noise_never_touches_a_prompt(
    model: MaskPredictor, seeded: Seeded, times: str, masks: str
) -> None:
    """Trap 3: a literal mask id in a prompt is no target, however the masks are drawn."""
    seen: list[Tensor] = []

    def spy(ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        seen.append(ids_BL)
        return model(ids_BL, attention_mask)

    ids_BL = torch.tensor([[MASK, 12, 13, 14, 15, 16]])
    lengths = torch.tensor([3]), torch.tensor([2])
    loss = sft_loss(
        spy, ids_BL, *lengths, mask_id=MASK, rng=seeded(2), eps=0.99, times=times, masks=masks
    )
    hidden_L = seen[0][0] == MASK
    assert hidden_L.tolist()[:3] == [True, False, False]
    assert not hidden_L[5]
    log_p_LV = model(seen[0])[0].log_softmax(-1)
    surprise = [-log_p_LV[i, ids_BL[0, i]].item() for i in (3, 4) if hidden_L[i]]
    assert loss.item() == pytest.approx(sum(surprise) / len(surprise), rel=0.011)


@pytest.mark.parametrize("option", [{"times": "lattice"}, {"masks": "exact"}])
def test_an_unknown_name_says_what_is_allowed(seeded: Seeded, option: dict[str, str]) -> None:
    allowed = "independent, low_discrepancy" if "times" in option else "bernoulli, exact_count"
    with pytest.raises(LladaError, match=allowed):
        pretrain_loss(
            uniform_predictor, torch.full((1, 4), 20), mask_id=MASK, rng=seeded(0), **option
        )
