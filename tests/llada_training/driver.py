"""A whole driver process, to be killed: `driver.py job.json scratch` trains on a Ray of its own."""

import os
import sys
from pathlib import Path

import ray

from llada.training.job import TrainingJob
from llada.training.ray_entry import train

if __name__ == "__main__":
    os.environ["RAY_AUTH_MODE"] = "disabled"  # loopback, as in the session's Ray
    ray.init(address="local", num_cpus=4, object_store_memory=200 << 20, include_dashboard=False)
    train(
        TrainingJob.model_validate_json(Path(sys.argv[1]).read_bytes()),
        workers=2,
        cpus_per_worker=1,
        run_name="driver",
        scratch=Path(sys.argv[2]),
        max_failures=0,
        on_metrics=lambda metrics: print(metrics.step, flush=True),
    )
