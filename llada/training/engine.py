"""DeepSpeed behind three verbs: step, snapshot, load; nothing else here knows how ZeRO works."""

import logging
import math
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from llada.diffusion import CHUNK_ROWS
from llada.model import MaskPredictor
from llada.training import out_of_memory, zero_state
from llada.training.batch import Batch
from llada.training.config import TrainingConfig
from llada.training.errors import TrainingError
from llada.training.host_copy import HostCopy
from llada.training.metrics import Measured
from llada.training.objective import Objective
from llada.training.state_files import read_state, write_state
from llada.training.tally import T_BUCKETS

# DeepSpeed reads this when first imported; without it, it guesses and warns.
if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")

import deepspeed
import deepspeed.ops

# Otherwise `initialize` compiles this op with g++ (90 s, unused on one host), and a worker killed
# while compiling leaves a lock file on which every later run hangs for ever.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", r"`torch.distributed.\w+` is deprecated", FutureWarning)

_LARGEST_BUCKET = 500_000_000  # elements; DeepSpeed's default
_SHARDS_WEIGHTS = 3  # the ZeRO stage


class Engine:
    """One rank's part of a sharded model and its AdamW."""

    def __init__(
        self, model: MaskPredictor, training: TrainingConfig, *, accumulation: int
    ) -> None:
        """Shard `model` over the ranks of the environment (RANK, WORLD_SIZE, MASTER_ADDR, ...).

        Raises:
            TrainingError: a setting needs a GPU and there is none, or memory does not suffice.
        """
        # ZeRO-3 gathers the head when it is called, and all ranks must call it equally often.
        chunk_rows = None if training.zero_stage == _SHARDS_WEIGHTS else CHUNK_ROWS
        self._training, self._world = training, dist.get_world_size()
        _require_gpu(training)
        model.checkpoint_activations = training.activation_checkpointing
        if training.compile:
            for block in model.model.transformer.blocks:
                block.compile()
        optimizer = torch.optim.AdamW(
            _decay_groups(model, training.weight_decay),
            betas=training.betas,
            fused=True,  # on a CPU too: the loop over tensors costs 3 % of a step there
        )
        with out_of_memory.named(training, self._world):
            engine, *_ = deepspeed.initialize(
                model=Objective(model.float(), chunk_rows),
                optimizer=optimizer,
                config=_deepspeed_config(training, accumulation, _size(model)),
            )
        self._engine: Any = engine
        self._host_copy = HostCopy()

    @property
    def device(self) -> torch.device:
        """Where this rank's part of the model lies."""
        device: torch.device = self._engine.device
        return device

    def step(self, batches: Sequence[Batch], learning_rate: float) -> Measured:
        """Update the weights once from this rank's micro-batches.

        The weights in `batches` are normalised over the global batch already, so gradients must be
        *summed*. DeepSpeed divides by the accumulation (switched off here) and averages over ranks
        (hence the factor).
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        totals = self._no_totals()
        with out_of_memory.named(self._training, self._world):
            for batch in batches:
                loss, tallied = self._forward(batch)
                self._engine.backward(loss * self._world, scale_wrt_gas=False)
                self._engine.step()
                totals += torch.cat([loss.detach()[None], tallied])
        dist.all_reduce(totals)
        norm = self._engine.get_global_grad_norm()
        loss_, *tallied_ = totals.tolist()
        return Measured(loss_, math.nan if norm is None else float(norm), tuple(tallied_))

    def score(self, batches: Sequence[Batch]) -> float:
        """Return the loss of this and the other ranks' batches together, without learning.

        All ranks give equally many: under ZeRO-3 a forward pass is a collective.
        """
        totals = self._no_totals()
        self._engine.eval()
        with torch.no_grad(), out_of_memory.named(self._training, self._world):
            for batch in batches:
                totals[0] += self._forward(batch)[0]
        self._engine.train()
        dist.all_reduce(totals)
        return float(totals[0])

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self._engine(*(_move(p, self.device) for p in batch))
        return found

    def _no_totals(self) -> Tensor:
        return torch.zeros(1 + 2 * T_BUCKETS, dtype=torch.float64, device=self.device)

    def snapshot(self) -> Callable[[Path], list[Path]]:
        """Copy this rank's weights and optimizer state to host memory; return what writes them.

        The copy is all that training waits for; the writer may run on any thread, but must have
        finished before the next snapshot is taken.
        """
        copies = self._host_copy.take(zero_state.fragments(self._engine))
        count, rank = zero_state.updates(self._engine), dist.get_rank()
        return lambda folder: write_state(folder, rank, copies, updates=count)

    def load(self, folder: Path) -> None:
        """Take weights and optimizer state from a snapshot of any world size and ZeRO stage."""
        count = read_state(folder, zero_state.fragments(self._engine))
        zero_state.adopt(self._engine, count)


def _decay_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Decay matrices; leave vectors, the scales of norms, alone."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]


def _require_gpu(training: TrainingConfig) -> None:
    if training.offload_optimizer and not torch.cuda.is_available():
        msg = (
            "offload_optimizer moves AdamW's state from the GPU to the host's memory; found no "
            "GPU here, so there is nothing to free: leave it out, or train on a GPU"
        )
        raise TrainingError(msg)


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _deepspeed_config(training: TrainingConfig, accumulation: int, size: int) -> dict[str, Any]:
    offload = {"offload_optimizer": {"device": "cpu", "pin_memory": True}}
    return {
        "train_micro_batch_size_per_gpu": training.micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": training.gradient_clip,
        "zero_optimization": {
            "stage": training.zero_stage,
            "overlap_comm": False,
            "reduce_bucket_size": min(size, _LARGEST_BUCKET),  # allocated whole, every step
            **(offload if training.offload_optimizer else {}),
        },
        # Its own AdamW for the host is compiled at first use; torch's fused one is there already.
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": training.precision == "bf16"},
        "steps_per_print": 10**9,
    }


def _move(part: Tensor | None, device: torch.device) -> Tensor | None:
    return None if part is None else part.to(device, non_blocking=True)
