"""Score questions in rounds: all of them together, and in each only the answers still in doubt."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from llada.likelihood import Likelihood
from llada.model import Predictor
from llada.scoring import estimate
from llada.scoring.masks import SharedNoise, every_mask, every_weight
from llada.scoring.passes import Job, log_probabilities
from llada.scoring.question import Question, Scores, ScoringConfig

# Questions in flight: enough to fill passes with rows of one length, few enough to hold.
_AT_ONCE = 256


class _Answer:
    """What has been seen of one answer."""

    def __init__(self, length: int, exact: bool) -> None:
        self.length, self.exact = length, exact
        self.masked_SA = torch.empty(0, length, dtype=torch.bool)
        self.log_p_SA = torch.empty(0, length, dtype=torch.float64)
        self.in_doubt = True

    def add(self, masked_SA: Tensor, log_p_SA: Tensor) -> None:
        self.masked_SA = torch.cat([self.masked_SA, masked_SA])
        self.log_p_SA = torch.cat([self.log_p_SA, log_p_SA])

    def exact_value(self) -> float:
        return (self.log_p_SA.sum(-1) @ every_weight(self.masked_SA)).item()


class _Standing:
    """A question, its noise, and how its answers stand."""

    def __init__(self, question: Question, config: ScoringConfig, seed: int) -> None:
        self.question, self._config = question, config
        lengths = [len(answer) for answer in question.answers]
        self.answers = [_Answer(length, length <= config.exact_up_to) for length in lengths]
        self.noise = SharedNoise(max(lengths), seed)

    def next_jobs(self, samples: int) -> list[tuple[_Answer, Job]]:
        """Return what brings every answer in doubt up to so many samples."""
        self.noise.extend(samples)
        jobs = []
        for prompt, ids, answer in zip(
            self.question.prompts, self.question.answers, self.answers, strict=True
        ):
            have = len(answer.masked_SA)
            if answer.exact:
                masked_SA = every_mask(answer.length)[have:]
            else:
                masked_SA = self.noise.masks(answer.length, have)
            if answer.in_doubt and len(masked_SA):
                jobs.append((answer, Job(prompt, ids, masked_SA)))
        return jobs

    def judge(self) -> Scores:
        """Rank what has been seen, and let go of answers too far behind."""
        values_CS = [
            None if answer.exact else estimate.sample_values(answer.log_p_SA, answer.masked_SA)
            for answer in self.answers
        ]
        found = [
            Likelihood(answer.exact_value(), 0.0)
            if value_S is None
            else estimate.mean(value_S, self.noise.fraction_S[: len(value_S)])
            for answer, value_S in zip(self.answers, values_CS, strict=True)
        ]
        divisors = self.question.divisors
        best = max(range(len(found)), key=lambda c: found[c].value / divisors[c])
        leads = [
            _lead(
                (found[best], values_CS[best], divisors[best]),
                (found[c], values_CS[c], divisors[c]),
                self.noise.fraction_S,
            )
            if c != best
            else Likelihood(0.0, 0.0)
            for c in range(len(found))
        ]
        behind = [c == best or self._decided(lead) for c, lead in enumerate(leads)]
        for c, answer in enumerate(self.answers):
            answer.in_doubt = c == best or not behind[c]
        settled = self._config.stop_z is not None and all(behind)
        masks = tuple(len(answer.masked_SA) for answer in self.answers)
        return Scores(tuple(found), best, tuple(leads), masks, settled)

    def _decided(self, lead: Likelihood) -> bool:
        z = self._config.stop_z
        return z is not None and lead.value > z * lead.stderr  # never true of a NaN


_Side = tuple[Likelihood, Tensor | None, float]


def _lead(best: _Side, other: _Side, fraction_S: Tensor) -> Likelihood:
    """Return the difference of two values over their divisors, and its error.

    Sampled answers are compared sample by sample, on the samples that both have.
    """
    (a, a_S, a_divisor), (b, b_S, b_divisor) = best, other
    value = a.value / a_divisor - b.value / b_divisor
    if a_S is None or b_S is None:
        return Likelihood(value, math.hypot(a.stderr / a_divisor, b.stderr / b_divisor))
    shared = min(len(a_S), len(b_S))
    difference_S = a_S[:shared] / a_divisor - b_S[:shared] / b_divisor
    return estimate.mean(difference_S, fraction_S[:shared])


def score(
    model: Predictor,
    questions: Sequence[Question],
    config: ScoringConfig,
    *,
    mask_id: int,
    rng: torch.Generator,
) -> list[Scores]:
    """Estimate the likelihood of every answer (Eq. 6), with the answers of a question compared.

    Answers of one question share their noise, so the error of a lead is below that of its two
    values. With `stop_z`, samples double from `min_samples` on; after each round an answer that
    trails by more than `stop_z` errors is let go, and a question with one answer left is settled.
    (Stopping when one looks sure flatters a lead a little: report values from runs without it.)
    Every question has a seed of its own, drawn from `rng` in order: neither packing nor the other
    questions change its masks.
    """
    seeds = torch.randint(2**62, (len(questions),), generator=rng, device=rng.device).tolist()
    scores: list[Scores] = []
    for first in range(0, len(questions), _AT_ONCE):
        group = slice(first, first + _AT_ONCE)
        standings = [
            _Standing(question, config, seed)
            for question, seed in zip(questions[group], seeds[group], strict=True)
        ]
        scores += _rounds(model, standings, config, mask_id)
    return scores


def _rounds(
    model: Predictor, standings: Sequence[_Standing], config: ScoringConfig, mask_id: int
) -> list[Scores]:
    found: dict[int, Scores] = {}
    samples = config.samples
    if config.stop_z is not None:
        samples = min(config.min_samples, samples)
    while True:
        going = [n for n in range(len(standings)) if n not in found or not found[n].settled]
        work = [job for n in going for job in standings[n].next_jobs(samples)]
        log_p = log_probabilities(
            model,
            [job for _, job in work],
            mask_id=mask_id,
            scale=config.cfg_scale,
            batch_tokens=config.batch_tokens,
        )
        for (answer, job), log_p_SA in zip(work, log_p, strict=True):
            answer.add(job.masked_SA, log_p_SA)
        found |= {n: standings[n].judge() for n in going}
        if samples == config.samples or all(scores.settled for scores in found.values()):
            return [found[n] for n in range(len(standings))]
        samples = min(2 * samples, config.samples)
