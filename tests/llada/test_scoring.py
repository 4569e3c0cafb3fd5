"""The likelihood engine: exact where it says so, unbiased, and the same however it is packed."""

import itertools
import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llada.diffusion import log_likelihood
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.noise import exact_count_mask
from llada.scoring import Question, Scores, ScoringConfig, score
from llada.scoring.estimate import sample_values
from llada.scoring.masks import DECKS, SharedNoise, dealt, every_mask, every_weight
from llada.scoring.passes import Job, Row, distinct_rows, log_probabilities, packed
from tests.llada.test_likelihood import exact

MASK = 4
PROMPT = (11, 12, 13)
Seeded = Callable[[int], torch.Generator]


def scored(
    model: object, questions: list[Question], seed: int = 0, **options: object
) -> list[Scores]:
    rng = torch.Generator().manual_seed(seed)
    return score(model, questions, ScoringConfig(**options), mask_id=MASK, rng=rng)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_short_answers_are_exact(model: MaskPredictor, scale: float) -> None:
    answers = [[21], [21, 22], [23, 22, 21, 24]]
    (found,) = scored(model, [Question.of(PROMPT, answers)], cfg_scale=scale)
    truth = [exact(model, list(PROMPT), answer, scale) for answer in answers]
    assert [answer.value for answer in found.answers] == pytest.approx(truth, rel=1e-5)
    assert [answer.stderr for answer in found.answers] == [0.0] * 3
    assert found.masks == (1, 3, 15)
    assert found.best == truth.index(max(truth))
    assert [lead.value for lead in found.leads] == pytest.approx(
        [max(truth) - value for value in truth], rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_sampled_answers_agree_with_every_mask_and_with_the_plain_estimate(
    model: MaskPredictor, seeded: Seeded, scale: float
) -> None:
    answer = [21, 22, 23, 24, 25]
    truth = exact(model, list(PROMPT), answer, scale)
    question = Question.of(PROMPT, [answer])
    (found,) = scored(model, [question], samples=400, cfg_scale=scale, exact_up_to=0)
    plain = log_likelihood(
        model, PROMPT, answer, samples=400, mask_id=MASK, cfg_scale=scale, rng=seeded(1)
    )
    (value,) = found.answers
    assert abs(value.value - truth) < 4 * value.stderr
    assert abs(value.value - plain.value) < 4 * math.hypot(value.stderr, plain.stderr)
    assert 0 < value.stderr < plain.stderr


def test_the_estimate_is_unbiased_for_any_number_of_samples(model: MaskPredictor) -> None:
    """By enumeration: two samples of an answer of three tokens, over all pairs of masks.

    Given its number of masks n, a sample hides each set of n with equal chance; the control
    variate of either sample comes from the other alone, whose deck is another.
    """
    answer = [21, 22, 23]
    masked_SA = every_mask(3)
    (log_p_SA,) = log_probabilities(
        model, [Job(PROMPT, answer, masked_SA)], mask_id=MASK, scale=0.0, batch_tokens=999
    )
    of_count = [(masked_SA.sum(1) == n).nonzero()[:, 0].tolist() for n in (1, 2, 3)]
    total = 0.0
    for first in of_count:
        for second in of_count:
            pairs = [[a, b] for a in first for b in second]
            values = [sample_values(log_p_SA[pair], masked_SA[pair]).mean() for pair in pairs]
            total += sum(values).item() / len(pairs) / 9
    assert total == pytest.approx((log_p_SA.sum(1) @ every_weight(masked_SA)).item(), abs=1e-9)


def test_claimed_errors_are_the_spread_of_values_and_of_leads(model: MaskPredictor) -> None:
    question = Question.of(PROMPT, [[21, 22, 23, 24, 25, 26, 27, 28], [31, 22, 23, 24, 25, 26]])
    runs = scored(model, [question] * 300, samples=32, exact_up_to=0)
    first = runs[0].best
    assert all(run.best == first for run in runs)  # or leads would be of two kinds
    for pick in (lambda run: run.answers[0], lambda run: run.leads[1 - first]):
        found = [pick(run) for run in runs]
        spread = torch.tensor([one.value for one in found], dtype=torch.float64).std().item()
        claimed = math.sqrt(sum(one.stderr**2 for one in found) / len(found))
        assert claimed == pytest.approx(spread, rel=0.25)


def test_taking_difficulty_out_halves_the_variance_at_least(model: MaskPredictor) -> None:
    """Against the same samples, plainly averaged; most so where tokens ignore what is hidden."""
    answer = list(range(20, 32))
    noise = SharedNoise(12, seed=0).extend(64 * 100)
    masked_SA = noise.masks(12, 0)
    job = Job(PROMPT, answer, masked_SA)
    (log_p_SA,) = log_probabilities(model, [job], mask_id=MASK, scale=0.0, batch_tokens=4096)
    plain, fitted = [], []
    for start in range(0, len(masked_SA), 64):
        rows = slice(start, start + 64)
        plain.append((log_p_SA[rows].sum(1) * 12 / masked_SA[rows].sum(1)).mean())
        fitted.append(sample_values(log_p_SA[rows], masked_SA[rows]).mean())
    assert torch.stack(fitted).var() < 0.5 * torch.stack(plain).var()

    blind_SA = masked_SA[:64] * torch.linspace(-9, -1, 12, dtype=torch.float64)
    values = sample_values(blind_SA, masked_SA[:64])
    plain_S = blind_SA.sum(1) * 12 / masked_SA[:64].sum(1)
    assert values.std() < 0.2 * plain_S.std()
    assert values.mean().item() == pytest.approx(-60, abs=0.5)


def test_one_sample_has_no_known_error(model: MaskPredictor) -> None:
    (found,) = scored(model, [Question.of(PROMPT, [[21, 22]])], samples=1, exact_up_to=0)
    assert math.isnan(found.answers[0].stderr)
    assert found.masks == (1,)


QUESTIONS = [
    Question.of(PROMPT, [range(20, 29), range(30, 37), [40]]),
    Question.of([], [range(50, 58), range(60, 68)]),
    Question(((11,), (11, 12, 13, 14, 15)), (tuple(range(20, 28)), tuple(range(20, 28)))),
]


@pytest.mark.parametrize("scale", [0.0, 0.7])
@pytest.mark.parametrize("batch_tokens", [1, 40, 300])
def test_packing_changes_nothing(model: MaskPredictor, scale: float, batch_tokens: int) -> None:
    whole = scored(model, QUESTIONS, samples=9, cfg_scale=scale)
    other = scored(model, QUESTIONS, samples=9, cfg_scale=scale, batch_tokens=batch_tokens)
    for a, b in zip(whole, other, strict=True):
        assert [x.value for x in a.answers] == pytest.approx([x.value for x in b.answers], rel=1e-5)
        assert (a.best, a.masks) == (b.best, b.masks)


def test_a_question_does_not_depend_on_those_behind_it(model: MaskPredictor) -> None:
    (alone,) = scored(model, QUESTIONS[:1], samples=9)
    assert [x.value for x in scored(model, QUESTIONS, samples=9)[0].answers] == pytest.approx(
        [x.value for x in alone.answers], rel=1e-5
    )


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), max_size=40), st.integers(1, 400)
)
def test_packing_loses_and_doubles_no_row(sizes: list[tuple[int, int]], tokens: int) -> None:
    rows = [
        Row(torch.full((size,), n).numpy(), torch.arange(min(size, hidden)).numpy(), 0, [])
        for n, (size, hidden) in enumerate(sizes)
    ]
    batches = list(packed(rows, tokens))
    assert sorted(int(row.noisy_L[0]) for batch in batches for row in batch) == list(
        range(len(rows))
    )
    for batch in batches:
        area = len(batch) * len(batch[0].noisy_L)
        assert area <= tokens or len(batch) == 1
        assert area - sum(len(row.noisy_L) for row in batch) <= area / 8


def test_equal_inputs_are_read_once() -> None:
    letters = [Job(PROMPT, [letter], every_mask(1)) for letter in (21, 22, 23, 24)]
    (row,) = distinct_rows(letters, MASK)
    assert [use.job for use in row.uses] == [0, 1, 2, 3]
    # A mask id that is part of the answer is no hidden position, though the inputs look alike.
    literal = Job(PROMPT, [MASK, 22], torch.tensor([[False, True], [True, True]]))
    assert len(distinct_rows([literal], MASK)) == 2


@settings(max_examples=30)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(1, 40), st.integers(0, 99))
def test_answers_of_a_question_share_their_noise(a: int, b: int, samples: int, seed: int) -> None:
    noise = SharedNoise(24, seed).extend(samples)
    grown = SharedNoise(24, seed).extend(samples // 2)
    early = grown.masks(a, 0)
    grown.extend(samples)
    assert torch.equal(
        torch.cat([early, grown.masks(a, samples // 2)])[:samples], noise.masks(a, 0)
    )
    one, two = noise.masks(a, 0), noise.masks(b, 0)
    assert (one.sum(1) >= 1).all()
    assert ((one.sum(1) / a - two.sum(1) / b).abs() < 1 / min(a, b) + 1e-6).all()
    for masked_SA in (one, two):  # no position is hidden again before its deck is used up
        for deck in range(DECKS):
            total_A = masked_SA[deck::DECKS].sum(0)
            assert total_A.max() - total_A.min() <= 1
    if a == b:
        assert torch.equal(one, two)


@pytest.mark.parametrize("counts", [[1, 1, 2], [2, 2, 2], [3, 1, 2], [2, 3, 3]])
def test_every_hand_is_each_set_equally_often(counts: list[int]) -> None:
    """By enumeration of all shuffles of a deck of three: what keeps the estimate unbiased."""
    seen: list[Counter[frozenset[int]]] = [Counter() for _ in counts]
    for shuffles in itertools.product(itertools.permutations(range(3)), repeat=len(counts)):
        for number, hand in enumerate(dealt(counts, shuffles)):
            assert len(set(hand)) == counts[number]
            seen[number][frozenset(hand)] += 1
    for count, sets in zip(counts, seen, strict=True):
        assert len(sets) == math.comb(3, count)
        assert len(set(sets.values())) == 1


def test_dealt_masks_have_less_variance_than_drawn_ones() -> None:
    """Tokens of a fixed difficulty each: 24 dealt samples against 24 drawn of like counts."""
    difficulty_A = torch.linspace(-9, -1, 10, dtype=torch.float64)
    rng = torch.Generator().manual_seed(0)
    values: dict[str, list[Tensor]] = {"dealt": [], "drawn": []}
    for seed in range(400):
        masked_SA = SharedNoise(10, seed).extend(24).masks(10, 0)
        drawn_SA = exact_count_mask(torch.rand(24, 10, generator=rng), masked_SA.sum(1))
        for name, hidden_SA in (("dealt", masked_SA), ("drawn", drawn_SA)):
            values[name].append((hidden_SA * difficulty_A / hidden_SA.sum(1)[:, None]).sum() * 10)
    dealt_variance, drawn_variance = (torch.stack(values[name]).var() for name in values)
    assert dealt_variance < 0.8 * drawn_variance


def test_counts_of_any_first_samples_are_even() -> None:
    counts = SharedNoise(10, 3).extend(64).masks(10, 0).sum(1)
    for samples in (20, 32, 64):
        used = counts[:samples].bincount(minlength=11)[1:]
        assert used.max() - used.min() <= 3


class Bag:
    """A predictor whose tokens have a fixed probability each, give or take what else is hidden."""

    def __init__(self, logits_V: Tensor, noise: float) -> None:
        self.logits_V, self.noise = logits_V, noise

    def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        code_B = (ids_BL * torch.arange(1, ids_BL.shape[1] + 1) ** 2).sum(1)
        wobble_BL = torch.sin(code_B[:, None] * 1.7 + ids_BL * 0 + torch.arange(ids_BL.shape[1]))
        logits_BLV = self.logits_V.expand(*ids_BL.shape, -1).clone()
        logits_BLV[..., 20:] += self.noise * wobble_BL[..., None]
        return logits_BLV


def test_the_stop_rule_errs_seldom_and_saves_passes() -> None:
    """120 close pairs whose truth is known by enumeration; z = 3 may settle few of them wrongly."""
    rng = torch.Generator().manual_seed(0)
    bag = Bag(torch.randn(60, generator=rng), noise=2.0)
    questions, truths = [], []
    for _ in range(120):
        ids = torch.randint(20, 60, (2, 7), generator=rng)
        ids[1, 1:] = ids[0, 1:]
        questions.append(Question.of(PROMPT, ids.tolist()))
    exactly = scored(bag, questions, exact_up_to=7)
    truths = [s.best if max(lead.value for lead in s.leads) > 1e-6 else None for s in exactly]
    found = scored(bag, questions, seed=1, samples=128, exact_up_to=0, stop_z=3.0)
    settled = [n for n in range(120) if found[n].settled and truths[n] is not None]
    wrong = [n for n in settled if found[n].best != truths[n]]
    assert len(settled) >= 60
    assert len(wrong) <= 0.02 * len(settled)
    assert sum(sum(s.masks) for s in found) < 0.6 * 120 * 2 * 128
    # The rule must be what keeps errors rare: a careless one does err.
    careless = scored(
        bag, questions, seed=1, samples=128, exact_up_to=0, stop_z=0.01, min_samples=4
    )
    assert sum(s.best != t for s, t in zip(careless, truths, strict=True) if t is not None) > 4


def test_answers_far_behind_are_let_go(model: MaskPredictor) -> None:
    close, far = list(range(20, 28)), [90] * 8
    question = Question.of(PROMPT, [close, [*close[:7], 29], far * 4])
    (found,) = scored(model, [question], samples=64, stop_z=3.0)
    assert found.masks[2] == 16
    assert found.masks[found.best] >= found.masks[2]
    (undecided,) = scored(model, [Question.of(PROMPT, [close, close])], samples=64, stop_z=3.0)
    assert undecided.masks == (64, 64)
    assert not undecided.settled


def test_divisors_decide_who_is_best(model: MaskPredictor) -> None:
    answers = [[21, 22], [21, 22, 23, 24]]
    (by_sum,) = scored(model, [Question.of(PROMPT, answers)])
    (by_token,) = scored(model, [Question.of(PROMPT, answers, [1, 100])])
    assert (by_sum.best, by_token.best) == (0, 1)
    values = [answer.value for answer in by_token.answers]
    assert by_token.leads[0].value == pytest.approx(values[1] / 100 - values[0])
    assert values == pytest.approx([answer.value for answer in by_sum.answers])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Question.of(PROMPT, [[21], []]), r"answers of \[1, 0\] tokens"),
        (lambda: Question.of(PROMPT, []), "0 prompts"),
        (lambda: Question(((11,),), ((21,), (22,))), "1 prompts"),
        (lambda: Question.of(PROMPT, [[21], [22]], [1.0]), r"\[1.0\] for 2 answers"),
        (lambda: Question.of(PROMPT, [[21]], [0.0]), "above 0"),
    ],
)
def test_impossible_questions_are_refused(build: Callable[[], Question], message: str) -> None:
    with pytest.raises(LladaError, match=message):
        build()
