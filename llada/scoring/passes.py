"""Forward passes for the masks of many answers: equal inputs once, alike lengths together.

Shapes: S masks of an answer, A answer length, P prompt length, U different rows of a pass, L row
length, N hidden positions of a pass, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llada.diffusion import CHUNK_ROWS
from llada.model import Predictor
from llada.sampling.guidance import guided_logits

# A pass takes in shorter rows as long as so much of it, at most, is padding.
_PADDING = 1 / 8


class Job(NamedTuple):
    """Masks of one answer whose hidden tokens are to be scored."""

    prompt: Sequence[int]
    answer: Sequence[int]
    masked_SA: Tensor


class Use(NamedTuple):
    """One mask of one job, which reads its figures off a row."""

    job: int
    sample: int


class Row(NamedTuple):
    """An input of the model, and all who want to know about its hidden positions."""

    noisy_L: NDArray[np.int64]
    hidden_N: NDArray[np.int64]
    prompt_length: int
    uses: list[Use]


def log_probabilities(
    model: Predictor, jobs: Sequence[Job], *, mask_id: int, scale: float, batch_tokens: int
) -> list[Tensor]:
    """Return log_p_SA of every job, float64 on the CPU: nats of hidden tokens, 0 elsewhere."""
    found = [np.zeros(tuple(job.masked_SA.shape)) for job in jobs]
    halves = 1 if scale == 0.0 else 2
    answers = [np.array(job.answer) for job in jobs]
    with torch.inference_mode():
        for rows in packed(distinct_rows(jobs, mask_id), batch_tokens // halves):
            _run(model, rows, answers, found, mask_id=mask_id, scale=scale)
    return [torch.from_numpy(log_p_SA) for log_p_SA in found]


def distinct_rows(jobs: Sequence[Job], mask_id: int) -> list[Row]:
    """Return the inputs of all masks of all jobs, each once.

    The four letters of a multiple-choice question are one input with four targets, and so are all
    answers of one length when all their tokens are hidden.
    """
    rows: dict[tuple[bytes, bytes, int], Row] = {}
    for number, job in enumerate(jobs):
        clean_L = np.array([*job.prompt, *job.answer], dtype=np.int64)
        for sample, masked_A in enumerate(job.masked_SA.numpy()):
            hidden_N = np.flatnonzero(masked_A) + len(job.prompt)
            noisy_L = clean_L.copy()
            noisy_L[hidden_N] = mask_id
            key = (noisy_L.tobytes(), hidden_N.tobytes(), len(job.prompt))
            row = rows.setdefault(key, Row(noisy_L, hidden_N, len(job.prompt), []))
            row.uses.append(Use(number, sample))
    return list(rows.values())


def packed(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Yield rows by falling length, as many at a time as fit `tokens` positions (one at least).

    A pass ends sooner where its padding would exceed an eighth, or its logits `CHUNK_ROWS` rows.
    """
    batch: list[Row] = []
    hidden = content = 0
    for row in sorted(rows, key=lambda row: -len(row.noisy_L)):
        size = len(row.noisy_L)
        area = (len(batch) + 1) * len(batch[0].noisy_L) if batch else 0
        padding = area - content - size
        too_big = area > tokens or hidden + len(row.hidden_N) > CHUNK_ROWS
        if batch and (too_big or padding > _PADDING * area):
            yield batch
            batch, hidden, content = [], 0, 0
        batch.append(row)
        hidden += len(row.hidden_N)
        content += size
    if batch:
        yield batch


def _run(
    model: Predictor,
    rows: Sequence[Row],
    answers: Sequence[NDArray[np.int64]],
    found: Sequence[NDArray[np.float64]],
    *,
    mask_id: int,
    scale: float,
) -> None:
    """Score the hidden positions of some rows, and enter them for every use of them."""
    shape = (len(rows), len(rows[0].noisy_L))  # the first is the longest
    ids_UL = np.full(shape, mask_id, dtype=np.int64)
    hidden_UL, prompt_UL, real_UL = (np.zeros(shape, dtype=np.bool_) for _ in range(3))
    for place, row in enumerate(rows):
        ids_UL[place, : len(row.noisy_L)] = row.noisy_L
        hidden_UL[place, row.hidden_N] = True
        prompt_UL[place, : row.prompt_length] = True
        real_UL[place, : len(row.noisy_L)] = True
    device = _device(model)
    ids, hidden, prompt, real = (
        torch.from_numpy(array).to(device) for array in (ids_UL, hidden_UL, prompt_UL, real_UL)
    )
    logits_NV = guided_logits(
        model,
        ids,
        hidden,
        prompt_BT=prompt,
        mask_id=mask_id,
        scale=scale,
        attention_mask=None if real_UL.all() else real,
    )
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    uses = list(_uses(rows))
    row_T = np.concatenate([places for _, _, places in uses])
    target_T = np.concatenate(
        [answers[use.job][row.hidden_N - row.prompt_length] for row, use, _ in uses]
    )
    picked, targets = torch.from_numpy(row_T).to(device), torch.from_numpy(target_T).to(device)
    log_p_T = (logits_NV[picked, targets] - logits_NV.logsumexp(-1)[picked]).double().cpu().numpy()
    start = 0
    for row, use, places in uses:
        end = start + len(places)
        found[use.job][use.sample, row.hidden_N - row.prompt_length] = log_p_T[start:end]
        start = end


def _uses(rows: Sequence[Row]) -> Iterator[tuple[Row, Use, NDArray[np.int64]]]:
    """Yield every use of every row with the places of its hidden positions among all N."""
    start = 0
    for row in rows:
        places = np.arange(start, start + len(row.hidden_N))
        start += len(row.hidden_N)
        for use in row.uses:
            yield row, use, places


def _device(model: Predictor) -> torch.device | None:
    weight = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return None if weight is None else weight.device
