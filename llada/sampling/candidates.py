"""What the model would put at the masked positions of a block, and how sure it is of each.

Shapes: B batch, N candidates a row, D model width, R candidates judged together, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llada.config import ModelConfig
from llada.errors import LladaError
from llada.sampling.config import SamplingConfig
from llada.sampling.guidance import guide
from llada.sampling.remasking import STRATEGIES, low_confidence, uniform

Head = Callable[[Tensor], Tensor]
# One generator for the batch, or one for each row: then a row draws what it would draw alone.
Rng = torch.Generator | Sequence[torch.Generator] | None
# Candidates are judged in portions, so that float64 noise over their vocabulary stays within this.
NOISE_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class Guess:
    """A token for every candidate; the highest scores are to be committed."""

    token_BN: Tensor
    score_BN: Tensor
    confidence_BN: Tensor | None  # the probability of the token, for whoever asked


class Judge:
    """Turns what the head reads into guesses, with the ids and the randomness of a generation."""

    def __init__(self, model: ModelConfig, config: SamplingConfig, device: torch.device) -> None:
        """Move the ids to the device once: a step must not wait for it."""
        self._config, self._mask_id = config, model.mask_token_id
        self._portion = max(1, NOISE_BYTES // (8 * model.vocab_size))
        self._forbidden = torch.tensor(config.forbidden_ids, dtype=torch.long, device=device)
        self._deferred = torch.tensor(config.deferred_ids, dtype=torch.long, device=device)

    def guess(
        self,
        hidden: Sequence[Tensor],
        head: Head,
        left: Sequence[int],
        rng: Rng,
        *,
        confident: bool,
    ) -> Guess:
        """Judge hidden_BND of the model, and under guidance also of the model without prompt.

        Of a row with fewer candidates than others, `left` of them, the rest come out as they may.
        """
        rows, count = hidden[0].shape[:2]
        flat = [branch.flatten(0, 1) for branch in hidden]
        device = flat[0].device
        token_R = torch.empty(rows * count, dtype=torch.long, device=device)
        random = self._config.remasking == "random"
        score_R = torch.zeros(
            rows * count, dtype=torch.float64 if random else torch.float32, device=device
        )
        sure_R = torch.zeros(rows * count, device=device) if confident else None
        for part, generator in self._parts(rows, count, left, rng):
            logits_RV = guide([head(branch[part]) for branch in flat], self._config.cfg_scale)
            token_R[part], score_R[part], sure = self._judge(
                logits_RV.float(), generator, confident=confident
            )
            if sure_R is not None and sure is not None:
                sure_R[part] = sure
        shape = (rows, count)
        return Guess(
            token_R.view(shape),
            score_R.view(shape),
            None if sure_R is None else sure_R.view(shape),
        )

    def _parts(
        self, rows: int, count: int, left: Sequence[int], rng: Rng
    ) -> Iterator[tuple[slice, torch.Generator | None]]:
        """Yield portions of all the candidates; those of a generator of its own stay together."""
        if rng is None or isinstance(rng, torch.Generator):
            spans = [(0, rows * count, rng)]
        else:
            spans = [(row * count, row * count + left[row], rng[row]) for row in range(rows)]
        for first, end, generator in spans:
            for start in range(first, end, self._portion):
                yield slice(start, min(start + self._portion, end)), generator

    def _judge(
        self, logits_RV: Tensor, generator: torch.Generator | None, *, confident: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Choose, then score; the logits are this function's own, and changed in place."""
        config = self._config
        logits_RV.index_fill_(-1, self._forbidden, -torch.inf)
        # The mask id is barred from the choice only: its probability still counts in the
        # confidence, as in the official implementation, whose order of commitment would otherwise
        # differ.
        mask_R = logits_RV[:, self._mask_id].clone()
        logits_RV[:, self._mask_id] = -torch.inf
        token_R = _choose(logits_RV, config.temperature, generator)
        logits_RV[:, self._mask_id] = mask_R
        sure_R = low_confidence(logits_RV, token_R, generator) if confident else None
        logits_RV.index_fill_(-1, self._deferred, -torch.inf)
        strategy = config.parallel.score if config.parallel else STRATEGIES[config.remasking]
        score_R = strategy(logits_RV, token_R, generator)
        last_R = torch.isin(token_R, self._deferred)
        return token_R, score_R.masked_fill(last_R, torch.finfo(score_R.dtype).min), sure_R


def check_generators(rng: Rng, rows: int) -> None:
    """Refuse a list of generators that does not have one for each row."""
    if rng is None or isinstance(rng, torch.Generator) or len(rng) == rows:
        return
    raise LladaError(
        f"rng holds {len(rng)} generators for {rows} rows; give one generator for the whole batch, "
        f"or one for each row"
    )


def _choose(logits_RV: Tensor, temperature: float, rng: torch.Generator | None) -> Tensor:
    """Draw from softmax(logits / temperature) by the Gumbel trick; take the best at temperature 0.

    In float64: a coarser noise samples another distribution (arXiv 2409.02908).
    """
    if temperature == 0.0:
        return logits_RV.argmax(-1)
    noise_RV = uniform(logits_RV.shape, rng, logits_RV.device)
    noise_RV.log_().neg_().log_().neg_()
    return noise_RV.mul_(temperature).add_(logits_RV).argmax(-1)
