"""One rank without Ray: `rank_main.py job.json...` runs each job, as torchrun would start it."""

import sys
from pathlib import Path

import torch.distributed as dist

from llada.training.job import TrainingJob
from llada.training.loop import run_rank

if __name__ == "__main__":
    dist.init_process_group("gloo")
    for path in map(Path, sys.argv[1:]):
        job = TrainingJob.model_validate_json(path.read_bytes())
        if dist.get_rank() == 0:
            Path(job.checkpoint_dir).mkdir(parents=True, exist_ok=True)
        dist.barrier()
        run_rank(job, run="test")
    dist.destroy_process_group()
