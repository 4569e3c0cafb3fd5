"""What a training will take, before any of it runs: steps, FLOPs, memory, GPU-hours, days.

Pure arithmetic on configs. What cannot fit a GPU is said together with the smallest change that
would.
"""

from collections.abc import Iterator
from itertools import product

from pydantic import BaseModel, ConfigDict

from llada.config import ModelConfig
from llada.training.accelerators import accelerator
from llada.training.config import Optimisation
from llada.training.flops import flops_per_token, model_flops_per_token
from llada.training.memory import ZERO_STAGES, Setting, memory_per_gpu

DEFAULT_MFU = 0.40
"""llm-foundry's published 1 B and 7 B runs on H100 reach 40 to 46 %; LLaDA's own reached 25.6 %."""
_MOST_WORKERS = 4096
_REMEDIES_SHOWN = 4


class Sizing(BaseModel):
    """The figures of one training; None where they hang on what is not known yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int
    non_embedding_parameters: int
    steps: int | None
    tokens_per_step: int
    tokens: int | None
    rows_may_be_shorter: bool
    """Tokens, FLOPs and time are upper bounds then: a row of SFT ends where its pair ends."""
    flops_per_token: float
    """6 N: weights outside embedding and head."""
    model_flops_per_token: float
    """6 N with attention over the whole sequence and the head on every position."""
    flops: float | None
    model_flops: float | None
    memory_by_stage: dict[int, float]
    """ZeRO stage -> bytes a GPU at the peak of a step."""
    zero_stage: int
    memory: dict[str, float]
    """Bytes a GPU at the stage of the recipe, by what they hold."""
    workers: int
    gpu: str | None
    gpu_memory: float | None
    mfu: float
    gpu_hours: float | None
    days: float | None
    remedies: tuple[str, ...] = ()
    """Where it does not fit: the changes that would make it fit."""

    @property
    def fits(self) -> bool:
        """Whether a step fits the GPU; True where no GPU is named."""
        return self.gpu_memory is None or self.memory_by_stage[self.zero_stage] <= self.gpu_memory

    def as_json(self) -> dict[str, object]:
        """Return the entry of `llada plan --json`: sizes in bytes, times in hours and days."""
        return {**self.model_dump(mode="json"), "fits": self.fits}


def size(
    model: ModelConfig,
    training: Optimisation,
    setting: Setting,
    *,
    length: int,
    steps: int | None,
    rows_may_be_shorter: bool = False,
    gpu: str | None = None,
    mfu: float = DEFAULT_MFU,
) -> Sizing:
    """Return the figures of a training of `steps` steps on rows of `length` tokens, or at most so.

    Time is model FLOPs (attention and head counted) over peak rate, workers and `mfu`: the share of
    the peak that goes into the model, which nobody knows before measuring it.

    Raises:
        LladaError: the GPU is not in the table.
    """
    device = accelerator(gpu) if gpu is not None else None
    per_step = training.batch_size * length
    tokens = None if steps is None else steps * per_step
    each, whole = flops_per_token(model), model_flops_per_token(model, length)
    memory = memory_per_gpu(model, setting, length)
    hours = None
    if tokens is not None and device is not None:
        hours = tokens * whole / (device.peak * mfu) / 3600
    limit = device.memory if device else None
    too_large = limit is not None and memory.total > limit
    return Sizing(
        parameters=model.parameter_count(),
        non_embedding_parameters=model.non_embedding_parameter_count(),
        steps=steps,
        tokens_per_step=per_step,
        tokens=tokens,
        rows_may_be_shorter=rows_may_be_shorter,
        flops_per_token=each,
        model_flops_per_token=whole,
        flops=None if tokens is None else tokens * each,
        model_flops=None if tokens is None else tokens * whole,
        memory_by_stage={
            stage: memory_per_gpu(model, setting._replace(zero_stage=stage), length).total
            for stage in ZERO_STAGES
        },
        zero_stage=setting.zero_stage,
        memory=memory._asdict(),
        workers=setting.workers,
        gpu=gpu,
        gpu_memory=limit,
        mfu=mfu,
        gpu_hours=hours,
        days=None if hours is None else hours / setting.workers / 24,
        remedies=remedies(model, training, setting, length, limit)
        if limit is not None and too_large
        else (),
    )


def remedies(
    model: ModelConfig, training: Optimisation, setting: Setting, length: int, limit: float
) -> tuple[str, ...]:
    """Return the changes that make a step fit `limit` bytes, those of fewest changes only.

    Tried: a smaller micro-batch, activation checkpointing, the optimizer in host memory, a higher
    ZeRO stage, more workers, and every combination of them; the batch size, which is part of what
    is learned, never.
    """
    fitting: list[tuple[int, Setting]] = []
    for other in _alternatives(training.batch_size, setting):
        changes = sum(a != b for a, b in zip(setting, other, strict=True))
        if memory_per_gpu(model, other, length).total <= limit:
            fitting.append((changes, other))
    if not fitting:
        return ("nothing short of a GPU with more memory: its model or its rows are too large",)
    fewest = min(changes for changes, _ in fitting)
    found: dict[tuple[str, ...], str] = {}
    for changes, other in fitting:
        if changes == fewest:
            changed = tuple(
                name for name in Setting._fields if getattr(other, name) != getattr(setting, name)
            )
            found.setdefault(changed, _described(setting, other))  # the mildest comes first
    return tuple(found.values())[:_REMEDIES_SHOWN]


def _alternatives(batch_size: int, setting: Setting) -> Iterator[Setting]:
    """Yield the other settings that train the same, the mildest change of each field first."""
    micros = range(setting.micro_batch_size, 0, -1)
    checkpointing = sorted({setting.activation_checkpointing, True})
    offload = sorted({setting.offload_optimizer, True})
    stages = [stage for stage in ZERO_STAGES if stage >= setting.zero_stage]
    workers = range(setting.workers, min(batch_size, _MOST_WORKERS) + 1)
    for micro, again, away, stage in product(micros, checkpointing, offload, stages):
        if batch_size % micro:
            continue
        for number in workers:
            if batch_size % (micro * number) == 0:
                other = setting._replace(
                    micro_batch_size=micro,
                    activation_checkpointing=again,
                    offload_optimizer=away,
                    zero_stage=stage,
                    workers=number,
                )
                if other != setting:
                    yield other


def _described(setting: Setting, other: Setting) -> str:
    changes = []
    for name in Setting._fields:
        value = getattr(other, name)
        if value != getattr(setting, name):
            where = "resources.workers" if name == "workers" else name
            changes.append(f"{where}={str(value).lower()}")
    return " and ".join(changes)
