"""What a training that ended tells: its report, or the last words of a worker that failed."""

from pathlib import Path

from llada.training.interventions import read_interventions
from llada.training.job import TrainingJob, TrainingReport
from llada.training.record import ATTEMPTS, METRICS, lost_seconds, read_attempts, read_metrics

_LAST_LINES = 12


def last_words(failure: str, job: TrainingJob, workers: int, max_failures: int) -> str:
    """Return what a worker said last, and what to do; `failure` is the whole of it."""
    from llada.training.out_of_memory import advice  # imports torch: not for those that end well

    lines = [line for line in failure.splitlines() if line.strip()][-_LAST_LINES:]
    told = advice(job.training, workers)
    if "out of memory" in failure.lower() and told not in failure:  # Ray ended a worker in time
        lines.append(told)
    return (
        f"training failed, after {max_failures} restarts where the fault allowed one. Last lines "
        "of the failed worker:\n  " + "\n  ".join(lines) + "\nRemove the cause and run again: it "
        f"continues from the last complete checkpoint in {job.checkpoint_dir}"
    )


def report(job: TrainingJob, run: str, seconds: float) -> TrainingReport:
    """Return what became of a job, from its records; `run` is the call that ended it."""
    root = Path(job.checkpoint_dir)
    history = read_metrics(root / METRICS, job.training.steps)
    attempts = read_attempts(root / ATTEMPTS, run)
    return TrainingReport(
        steps=len(history),
        final=history[-1],
        tokens=sum(metrics.tokens for metrics in history),
        resumed_at=attempts[0].first_step,
        restarts=len(attempts) - 1,
        passed_over=tuple(name for attempt in attempts for name in attempt.passed_over),
        rollbacks=len(read_interventions(root)),
        lost_seconds=lost_seconds(root / METRICS),
        seconds=seconds,
        metrics_path=str(root / METRICS),
        output_dir=job.output_dir,
    )
