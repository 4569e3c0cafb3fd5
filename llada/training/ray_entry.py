"""The one door to Ray: run a training job on a group of workers and hear about every step."""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from llada.training.errors import DivergedError, TrainingError, TrainingStopped
from llada.training.interventions import gave_up
from llada.training.job import StepMetrics, TrainingJob, TrainingReport
from llada.training.outcome import last_words, report
from llada.training.pulse import Beat, Pulse, Watch, kill
from llada.training.record import METRICS, Tail

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.train.v2.api.callback import RayTrainCallback

STALL_SECONDS = 45.0
_POLL_SECONDS = 0.5
_KILLED_SECONDS = 30.0  # for a task to start on each machine
_RAY_TRAIN = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a node that goes is a failure like any other
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else every line a worker prints appears twice
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # until a dead worker is noticed; default 2
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # default 60, too short on a busy machine
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "60",  # one whose node hangs; default 600
}
_COLLECTIVE_TIMEOUT_S = 120

logger = logging.getLogger(__name__)


class _Group(NamedTuple):
    """How wide to run, and where Ray keeps what it needs meanwhile."""

    run: str
    lost: int
    """How many controllers of the run have died."""
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    storage: str
    max_failures: int

    @property
    def name(self) -> str:
        """What Ray calls the run: another name for every controller, lest it reads old notes."""
        return f"{self.run}-{self.lost}"


def train(
    job: TrainingJob,
    *,
    workers: int,
    cpus_per_worker: float,
    run_name: str,
    scratch: Path,
    max_failures: int,
    on_metrics: Callable[[StepMetrics], None],
    on_poll: Callable[[], None] = lambda: None,
    stall_seconds: float = STALL_SECONDS,
    gpus_per_worker: float = 0.0,
) -> TrainingReport:
    """Train until the final weights lie in `job.output_dir`, from where an earlier call stopped.

    Ray must be initialised. The state that counts is in `job.checkpoint_dir`; Ray's own (under
    `scratch`) has a fresh name each call and is deleted. `on_metrics` hears each of the steps
    0..n-1 once, in order, on the caller's thread, those computed by an earlier call first (after a
    rollback, the steps from there on again, with their new numbers); if it raises, the workers are
    stopped and the exception passes through; so with `on_poll`, which is called twice a second
    whatever the workers do. A worker without a sign of life for `stall_seconds` is ended, which
    restarts the group as a death would; Ray Train restarts it up to `max_failures` times. Where the
    process that does so dies itself, the group starts again under a new one, as often at most.

    Raises:
        ShardError, CheckpointError: the job cannot run as it stands; found before workers start.
        TrainingError: the same, or the workers failed more than `max_failures` times.
        DivergedError: the guard met more spikes than it may; a later call says so at once.
        TrainingStopped: one of the job's stop signs exists; a checkpoint was left.
    """
    import ray

    started = time.monotonic()
    job = job.resolved()
    _check(job, workers)
    run = f"{run_name}-{uuid4().hex[:8]}"
    metrics_path = Path(job.checkpoint_dir) / METRICS
    tail, pulses = Tail(metrics_path), _pulses(job, run)
    watch = Watch(pulses, metrics_path, stall_seconds)
    group = _Group(
        run, 0, workers, cpus_per_worker, gpus_per_worker, str(scratch.absolute()), max_failures
    )
    ending: dict[ObjectRef[bool], Beat] = {}

    def meanwhile() -> None:
        on_poll()
        _tell(tail, on_metrics)
        ending.update({_end(beat): beat for beat in watch.still()})
        _tell_of_ended(ending, stall_seconds)

    try:
        for lost in range(max_failures + 1):
            try:
                failure = _fitted(job, group._replace(lost=lost), meanwhile)
                break
            except (ray.exceptions.ActorDiedError, ray.exceptions.WorkerCrashedError) as error:
                failure = str(error)
                logger.warning("what leads the training workers died: %s", _first_line(failure))
                _clear_away(watch.beats())
    except BaseException:
        with contextlib.suppress(Exception):  # Ray may be going, too: what was raised counts
            _clear_away(watch.beats())
        raise
    finally:
        shutil.rmtree(pulses, ignore_errors=True)
    _tell(tail, on_metrics)
    if failure:
        raise TrainingError(last_words(failure, job, workers, max_failures))
    _raise_if_given_up(Path(job.checkpoint_dir))
    if any(Path(sign).exists() for sign in job.stop_signs) and not _has_weights(job):
        raise TrainingStopped("it was asked to stop; the last step is kept as a checkpoint")
    return report(job, run, time.monotonic() - started)


def _fitted(job: TrainingJob, group: _Group, meanwhile: Callable[[], None]) -> str | None:
    """Run Ray Train once to its end, with `meanwhile` twice a second; return why it gave up.

    Raises:
        ActorDiedError, WorkerCrashedError: Ray Train's controller, or what waits for it, has died.
        BaseException: whatever `meanwhile` raises; nothing is left running then.
    """
    import ray

    # A task of its own: Ctrl-C stays the caller's, and cancelling it ends the whole group whatever
    # state Ray Train is in.
    fit = ray.remote(_fit).options(num_cpus=0, max_retries=0, runtime_env={"env_vars": _RAY_TRAIN})
    pending = fit.remote(job.model_dump_json(), group)
    try:
        while not ray.wait([pending], timeout=_POLL_SECONDS)[0]:
            meanwhile()
        failure: str | None = ray.get(pending)
    except (ray.exceptions.ActorDiedError, ray.exceptions.WorkerCrashedError):
        raise
    except ray.exceptions.RayError as error:
        return str(error)
    except BaseException:
        # Only here: cancelling a task that has just finished can abort this process (Ray 2.60,
        # a failed check in TaskManager::CompletePendingTask).
        ray.cancel(pending, force=True)
        raise
    else:
        return failure
    finally:
        shutil.rmtree(Path(group.storage) / group.name, ignore_errors=True)


def _check(job: TrainingJob, workers: int) -> None:
    """Find what would stop every attempt before paying for one."""
    from llada.training.checkpoint import claim_folder
    from llada.training.loop import share
    from llada.training.rows import open_data, open_held_out

    share(job.training, 0, workers)
    open_data(job)
    open_held_out(job)
    root = Path(job.checkpoint_dir)
    claim_folder(root, job.identity())
    _raise_if_given_up(root)


def _raise_if_given_up(root: Path) -> None:
    if reason := gave_up(root):
        raise DivergedError(reason)


def _fit(job: str, group: _Group) -> str | None:
    """Run Ray Train to its end; return the failure, if it gave up."""
    from ray.train import (
        FailureConfig,
        LoggingConfig,
        RunConfig,
        ScalingConfig,
        TrainingFailedError,
    )
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2._internal.callbacks.placement_group_callback import (
        PlacementGroupCleanerCallback,
    )

    class Trainer(TorchTrainer):
        """Without the detached cleaner actor: it complains every second where Ray has no dashboard.

        Nor is it needed: a placement group ends with the controller that made it.
        """

        def _create_default_callbacks(self) -> "list[RayTrainCallback]":
            callbacks = super()._create_default_callbacks()  # type: ignore[misc]  # as below
            return [c for c in callbacks if not isinstance(c, PlacementGroupCleanerCallback)]

    threads = str(max(1, int(group.cpus_per_worker)))
    trainer = Trainer(
        _worker,
        train_loop_config={"job": job, "run": group.run},
        scaling_config=ScalingConfig(
            num_workers=group.workers,
            use_gpu=group.gpus_per_worker > 0,
            resources_per_worker=_each(group),
        ),
        torch_config=TorchConfig(
            # What ranks tell each other about checkpoints lies in host memory on a GPU, too.
            backend="cpu:gloo,cuda:nccl" if group.gpus_per_worker > 0 else "gloo",
            timeout_s=_COLLECTIVE_TIMEOUT_S,
        ),
        run_config=RunConfig(  # type: ignore[call-arg]  # mypy sees the class of Train v1
            name=group.name,
            storage_path=group.storage,
            failure_config=FailureConfig(max_failures=group.max_failures),
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": threads}},
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        return str(error)
    return None


def _each(group: _Group) -> dict[str, float]:
    gpus = {"GPU": group.gpus_per_worker} if group.gpus_per_worker > 0 else {}
    return {"CPU": group.cpus_per_worker, **gpus}


def _worker(config: dict[str, str]) -> None:
    # Ray pickles this function by name; the imports happen in the worker.
    import ray
    from ray.train import get_context
    from ray.util import get_current_placement_group

    from llada.training.loop import run_rank

    job, run = TrainingJob.model_validate_json(config["job"]), config["run"]
    node = ray.get_runtime_context().get_node_id()
    group = get_current_placement_group()
    room = group.id.hex() if group else ""
    with Pulse(_pulses(job, run), get_context().get_world_rank(), node, room):
        run_rank(job, run=run)


def _pulses(job: TrainingJob, run: str) -> Path:
    return Path(job.checkpoint_dir) / "pulses" / run


def _end(beat: Beat) -> "ObjectRef[bool]":
    """Begin to kill a worker that stands still; only a task on its machine can."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(beat.node, soft=False)
    task = ray.remote(kill).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    reference: ObjectRef[bool] = task.remote(beat)
    return reference


def _clear_away(beats: "list[Beat]") -> None:
    """Kill workers whose leader is gone, and give back their room: Ray 2.60 would keep it."""
    import ray
    from ray._raylet import PlacementGroupID  # no other way from a name to a placement group
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    killing = [_end(beat) for beat in beats]
    if killing:
        ray.wait(killing, num_returns=len(killing), timeout=_KILLED_SECONDS)
    for room in {beat.room for beat in beats} - {""}:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(room))))


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")


def _tell_of_ended(ending: "dict[ObjectRef[bool], Beat]", limit: float) -> None:
    """Warn of those that were killed; a worker that had died already is Ray's to tell."""
    import ray

    done = ray.wait(list(ending), num_returns=len(ending), timeout=0)[0] if ending else []
    for reference in done:
        beat = ending.pop(reference)
        with contextlib.suppress(ray.exceptions.RayError):  # its machine is gone, and it too
            if ray.get(reference):
                logger.warning(
                    "worker %d (process %d) stood still for %.0f s: it was ended, and the group "
                    "restarts",
                    beat.rank,
                    beat.pid,
                    limit,
                )


def _has_weights(job: TrainingJob) -> bool:
    return (Path(job.output_dir) / "config.json").is_file()


def _tell(tail: Tail, on_metrics: Callable[[StepMetrics], None]) -> None:
    for metrics in tail.new():
        on_metrics(metrics)
