"""The training loop of one rank: from a job to checkpoints, a record and published weights."""

import gc
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist

from llada.model import MaskPredictor
from llada.training.batch import Data
from llada.training.checkpoint import Checkpoints
from llada.training.config import TrainingConfig
from llada.training.course import Course
from llada.training.engine import Engine
from llada.training.errors import TrainingError
from llada.training.job import StepMetrics, TrainingJob
from llada.training.metrics import Clock, step_metrics
from llada.training.record import ATTEMPTS, METRICS, Attempt, Writer, open_record
from llada.training.rows import open_data
from llada.training.state_files import consolidate
from llada.training.validation import Validation, open_validation


class _Rows(NamedTuple):
    """What this rank reads."""

    data: Data
    micro_batches: list[range]
    validation: Validation | None


def run_rank(job: TrainingJob, *, run: str) -> None:
    """Do this rank's part of `job`, from the newest valid checkpoint to the exported weights.

    Needs an initialised default process group. All ranks call it with the same arguments; `run`
    names the call of `train` in the record. A stop sign ends it early, with a checkpoint and
    without weights; so does a guard that gives up (`interventions.gave_up` says why).
    """
    micro_batches = share(job.training, dist.get_rank(), dist.get_world_size())
    _be_deterministic()
    rows = _Rows(open_data(job), micro_batches, open_validation(job))
    checkpoints = Checkpoints(Path(job.checkpoint_dir), job.retention)
    attempt: str | None = run
    while _go_on(job, rows, checkpoints, attempt):
        attempt = None  # the same start of the workers
        gc.collect()  # DeepSpeed's engine refers to itself, and the next one needs its memory


def _go_on(job: TrainingJob, rows: _Rows, checkpoints: Checkpoints, attempt: str | None) -> bool:
    """Train from the newest checkpoint; return whether a spike threw the run back."""
    root, training = Path(job.checkpoint_dir), job.training
    engine = Engine(_initial_model(job), training, accumulation=len(rows.micro_batches))
    last = checkpoints.restore(engine.load)
    first, tokens, held_up = (last.step, last.tokens, 0.0) if last else (0, 0, 0.0)
    course = Course(root, training, first)
    if attempt:
        _note_attempt(root, attempt, first, checkpoints)
    if course.given_up:
        return False
    with open_record(root / METRICS, writes=dist.get_rank() == 0) as record:
        for step in range(first, training.steps):
            metrics = _train_step(job, engine, rows, course, step)
            tokens += metrics.tokens
            record.append(metrics.model_copy(update={"checkpoint_seconds": held_up}))
            held_up = 0.0
            checkpoints.check()
            if trouble := course.look(metrics):
                record.sync()
                return course.roll_back(trouble, checkpoints)
            done = step + 1
            if metrics.val_loss is not None:
                checkpoints.mark(done, metrics.val_loss)
            stopped = done < training.steps and _asked_to_stop(job, engine.device)
            if stopped or _checkpoint_is_due(done, training, course):
                record.sync()
                began = time.perf_counter()
                checkpoints.save(done, engine.snapshot, tokens=tokens)
                held_up = time.perf_counter() - began
            if stopped:
                break
        last = checkpoints.wait()
    assert last is not None
    if dist.get_rank() == 0 and last.step == training.steps:
        _export(job, last.folder)
    return False


def _checkpoint_is_due(done: int, training: TrainingConfig, course: Course) -> bool:
    return done == training.steps or (done % training.checkpoint_every == 0 and course.sound)


def share(training: TrainingConfig, rank: int, world: int) -> list[range]:
    """Return the micro-batches of one rank, as indices into the global batch.

    Raises:
        TrainingError: the batch does not divide into whole micro-batches for every worker.
    """
    micro, own = training.micro_batch_size, training.batch_size // world
    assert training.accumulation(world) * micro == own
    return [range(i, i + micro) for i in range(rank * own, (rank + 1) * own, micro)]


def _train_step(
    job: TrainingJob, engine: Engine, rows: _Rows, course: Course, step: int
) -> StepMetrics:
    started = time.perf_counter()
    source, rate = course.data_step(step), course.rate(step)
    batches = [rows.data.batch(source, indices) for indices in rows.micro_batches]
    ready = time.perf_counter()
    measured = engine.step(batches, rate)
    clock = Clock(time.perf_counter() - started, ready - started)
    metrics = step_metrics(
        job,
        rows.data,
        step,
        source,
        measured,
        rate=rate,
        clock=clock,
        interventions=len(course.interventions),
    )
    if rows.validation and _is_due(step, job.training):
        return metrics.model_copy(update={"val_loss": rows.validation.measure(engine)})
    return metrics


def _is_due(step: int, training: TrainingConfig) -> bool:
    done, every = step + 1, training.validate_every
    return every is not None and (done % every == 0 or done == training.steps)


def _note_attempt(root: Path, run: str, first: int, checkpoints: Checkpoints) -> None:
    if dist.get_rank() != 0:
        return
    damaged = [folder.name for folder in checkpoints.passed_over]
    with Writer(root / ATTEMPTS) as attempts:
        attempts.append(
            Attempt(
                run=run, first_step=first, world_size=dist.get_world_size(), passed_over=damaged
            )
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
