"""The oracle: the whole global batch at once through plain torch, one process, no DeepSpeed."""

import torch

from llada.model import MaskPredictor
from llada.training.job import TrainingJob
from llada.training.objective import Objective
from llada.training.rows import open_data
from llada.training.schedule import warmup_stable_decay


def train_plainly(job: TrainingJob) -> tuple[list[float], list[float], MaskPredictor]:
    """Return the losses, the gradient norms and the trained model."""
    config = job.training
    model = MaskPredictor(job.model, rng=torch.Generator().manual_seed(config.seed))
    objective, data = Objective(model, chunk_rows=1000), open_data(job)
    decayed = [p for n, p in model.named_parameters() if "norm" not in n and "ln_f" not in n]
    scales = [p for n, p in model.named_parameters() if "norm" in n or "ln_f" in n]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": scales, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
    )
    losses, norms = [], []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = warmup_stable_decay(step, config.steps, config.schedule)
        optimizer.zero_grad()
        loss, _ = objective(*data.batch(step, range(config.batch_size)))
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
        optimizer.step()
        losses.append(loss.item())
    return losses, norms, model
