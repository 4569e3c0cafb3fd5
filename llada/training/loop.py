"""The training loop of one rank: from a job to checkpoints, a record and published weights."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
import torch.distributed as dist

from llada.model import MaskPredictor
from llada.training.batch import Data, PretrainData, SftData, Vocabulary
from llada.training.checkpoint import Checkpoints
from llada.training.config import TrainingConfig
from llada.training.engine import Engine, consolidate
from llada.training.errors import TrainingError
from llada.training.job import StepMetrics, TrainingJob
from llada.training.next_token import NextTokenData
from llada.training.record import ATTEMPTS, METRICS, Attempt, Writer
from llada.training.schedule import warmup_stable_decay

OBJECTIVES: dict[str, type[PretrainData] | type[SftData]] = {
    "pretrain": PretrainData,
    "autoregressive": NextTokenData,
    "sft": SftData,
}


def run_rank(job: TrainingJob, *, run: str) -> None:
    """Do this rank's part of `job`, from the newest valid checkpoint to the exported weights.

    Needs an initialised default process group. All ranks call it with the same arguments; `run`
    names the call of `train` in the record. A stop sign ends it early, with a checkpoint and
    without weights.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    micro_batches = share(job.training, rank, world)
    _be_deterministic()
    data = open_data(job)
    engine = Engine(_initial_model(job), job.training, accumulation=len(micro_batches))
    root = Path(job.checkpoint_dir)
    checkpoints = Checkpoints(root)
    last = checkpoints.restore(engine.load)
    first = last.step if last else 0
    with ExitStack() as stack:
        record = stack.enter_context(Writer(root / METRICS)) if rank == 0 else None
        if rank == 0:
            damaged = [folder.name for folder in checkpoints.passed_over]
            with Writer(root / ATTEMPTS) as attempts:
                attempts.append(
                    Attempt(run=run, first_step=first, world_size=world, passed_over=damaged)
                )
        for step in range(first, job.training.steps):
            metrics = _train_step(engine, data, job.training, step, micro_batches)
            if record:
                record.append(metrics)
            done = step + 1
            stopped = done < job.training.steps and _asked_to_stop(job, engine.device)
            if stopped or done % job.training.checkpoint_every == 0 or done == job.training.steps:
                if record:
                    record.sync()
                last = checkpoints.save(done, engine.save)
            if stopped:
                return
    assert last is not None
    if rank == 0:
        _export(job, last.folder)


def share(training: TrainingConfig, rank: int, world: int) -> list[range]:
    """Return the micro-batches of one rank, as indices into the global batch.

    Raises:
        TrainingError: the batch does not divide into whole micro-batches for every worker.
    """
    micro, own = training.micro_batch_size, training.batch_size // world
    assert training.accumulation(world) * micro == own
    return [range(i, i + micro) for i in range(rank * own, (rank + 1) * own, micro)]


def open_data(job: TrainingJob) -> Data:
    """Map the shards of a job.

    Raises:
        ShardError: they are missing, damaged, or made for another objective or model.
    """
    vocabulary = Vocabulary(
        size=job.model.vocab_size,
        mask_id=job.model.mask_token_id,
        eos_id=job.model.eos_token_id,
    )
    data = OBJECTIVES[job.objective]
    return data(job.shards, job.model.max_sequence_length, job.training, vocabulary)


def _train_step(
    engine: Engine, data: Data, training: TrainingConfig, step: int, micro_batches: Sequence[range]
) -> StepMetrics:
    started = time.perf_counter()
    rate = warmup_stable_decay(step, training.steps, training.schedule)
    loss, norm = engine.step([data.batch(step, indices) for indices in micro_batches], rate)
    seconds = time.perf_counter() - started
    tokens = data.tokens(step)
    return StepMetrics(
        step=step,
        loss=loss,
        learning_rate=rate,
        grad_norm=norm,
        tokens=tokens,
        tokens_per_second=tokens / seconds,
        seconds=seconds,
    )


def _asked_to_stop(job: TrainingJob, device: torch.device) -> bool:
    """Whether a stop sign exists, as rank 0 sees it: all ranks must leave at the same step."""
    if not job.stop_signs:
        return False
    seen = dist.get_rank() == 0 and any(Path(sign).exists() for sign in job.stop_signs)
    asked = torch.tensor([int(seen)], device=device)
    dist.broadcast(asked, src=0)
    return bool(asked.item())


def _initial_model(job: TrainingJob) -> MaskPredictor:
    if job.init_from is None:
        return MaskPredictor(job.model, rng=torch.Generator().manual_seed(job.training.seed))
    model = MaskPredictor.from_pretrained(job.init_from, dtype=torch.float32)
    if model.config != job.model:
        msg = (
            f"the weights in {job.init_from} are of {model.config}, the job says {job.model}; "
            "take the model config from the weights"
        )
        raise TrainingError(msg)
    return model


def _export(job: TrainingJob, checkpoint: Path) -> None:
    with torch.device("meta"):
        model = MaskPredictor(job.model)
    model.load_state_dict(consolidate(checkpoint), assign=True)
    model.save_pretrained(job.output_dir)


def _be_deterministic() -> None:
    torch.use_deterministic_algorithms(mode=True)
    # The mode also fills every torch.empty; DeepSpeed's buffers are gigabytes, and written anyway.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
