"""Requests that ask for the same kind of sampling share their forward passes.

The event loop queues; one thread runs the model. A batch is the oldest request and those behind it
with the same `SamplingConfig`, padded on the left. Every request draws from a generator of its own:
a seed fixes its text whoever else is asking (up to the rounding of a larger matrix product).
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

import torch
from torch import Tensor

from llada.pieces import pieces
from llada.pretrained import Pretrained
from llada.sampling import SamplingConfig, Step, generate
from llada.serve.errors import ApiError
from llada.serve.limits import Limits
from llada.settled import Reason, SettledAnswer


@dataclass(frozen=True)
class Delta:
    """Text that is settled now."""

    text: str


@dataclass(frozen=True)
class Frame:
    """The tokens one denoising step has committed: (position in the answer, text)."""

    step: int  # from 0
    steps: int
    tokens: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Written:
    """The finished answer, token by token: (text, step that fixed it)."""

    tokens: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Finished:
    """The answer is complete; `passes` were run over a batch of `batch` requests."""

    reason: Reason
    passes: int
    batch: int


Event = Delta | Frame | Written | Finished | ApiError


@dataclass(eq=False)
class Job:
    """One request in the making; `gone` tells the thread that nobody waits for it any more."""

    prompt: list[int]
    config: SamplingConfig
    answer: SettledAnswer
    seed: int
    frames: bool = False
    gone: bool = False
    fixed: dict[int, int] = field(default_factory=dict)  # position in the answer -> step
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)

    @property
    def tokens(self) -> int:
        """Prompt plus answer."""
        return len(self.prompt) + self.config.gen_length


class Batcher:
    """Runs jobs in the order they came, as many at once as fit together."""

    def __init__(self, pretrained: Pretrained, limits: Limits) -> None:
        """Make the queue; `start` begins to serve it."""
        self._pretrained = pretrained
        self._limits = limits
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="denoise")
        self._closing = False
        self._seconds = 1.0  # how long the last batch took
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Serve the queue from the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._serve())

    async def close(self) -> None:
        """Refuse what waits, stop what runs at its next step, and wait for the thread."""
        self._closing = True
        for job in self._waiting:
            job.events.put_nowait(_closing())
        self._waiting.clear()
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    @property
    def waiting(self) -> int:
        """How many requests wait for their batch."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many requests the current batch holds."""
        return len(self._running)

    @property
    def jobs(self) -> list[Job]:
        """Everything in hand: what runs, then what waits."""
        return [*self._running, *self._waiting]

    def submit(self, job: Job) -> None:
        """Queue a job; ApiError where the queue is full or the server is ending."""
        if self._closing:
            raise _closing()
        if len(self._waiting) >= self._limits.queue:
            batches = math.ceil(len(self._waiting) / self._limits.batch)
            seconds = max(1, math.ceil(batches * self._seconds))
            raise ApiError(
                429,
                f"{len(self._waiting)} requests are waiting, and no more than "
                f"{self._limits.queue} may: try again in {seconds} s",
                code="queue_full",
                headers={"Retry-After": str(seconds)},
            )
        self._waiting.append(job)
        self._arrived.set()

    def forget(self, job: Job) -> None:
        """Give up a job whose client has left."""
        job.gone = True
        if job in self._waiting:
            self._waiting.remove(job)

    async def _serve(self) -> None:
        while not self._closing:
            await self._arrived.wait()
            if len(self._waiting) < self._limits.batch:
                await asyncio.sleep(self._limits.gather_seconds)
            self._running = self._take()
            if not self._waiting:
                self._arrived.clear()
            if self._running:
                started = monotonic()
                await self._loop.run_in_executor(self._thread, self._run, self._running)
                self._seconds = monotonic() - started
                self._running = []

    def _take(self) -> list[Job]:
        """Take the oldest job out of the queue, and those that can run with it."""
        if not self._waiting:
            return []
        first = self._waiting[0]
        batch, longest = [first], first.tokens
        for job in list(self._waiting)[1:]:
            if len(batch) == self._limits.batch:
                break
            wider = max(longest, job.tokens)
            fits = wider * (len(batch) + 1) <= self._limits.batch_tokens
            if job.config == first.config and fits:
                batch.append(job)
                longest = wider
        for job in batch:
            self._waiting.remove(job)
        return batch

    def _run(self, batch: list[Job]) -> None:
        """Denoise one batch; in the thread."""
        try:
            _Run(self, batch, self._pretrained).run()
        except Exception as error:  # noqa: BLE001  the edge of the thread: told to who waits
            failed = ApiError(500, f"{type(error).__name__}: {error}", code="sampling_failed")
            for job in batch:
                self.tell(job, failed)

    @property
    def closing(self) -> bool:
        """Whether the server is ending."""
        return self._closing

    def tell(self, job: Job, event: Event) -> None:
        """Hand an event to the request that waits in the event loop; from the thread."""
        self._loop.call_soon_threadsafe(job.events.put_nowait, event)


class _EnoughError(Exception):
    """Every answer of the batch is settled to its end, or wanted no more."""


class _Run:
    """One batch on its way from masks to text."""

    def __init__(self, batcher: Batcher, batch: list[Job], pretrained: Pretrained) -> None:
        self._batcher = batcher
        self._batch = batch
        self._model, self._tokenizer = pretrained.model, pretrained.tokenizer
        self._open = list(range(len(batch)))
        self._passes = 0
        self._width = max(len(job.prompt) for job in batch)

    def run(self) -> None:
        first = self._batch[0]
        device = self._model.device
        prompts_BP, mask_BP = _left_padded(
            [job.prompt for job in self._batch], self._tokenizer.special.eos
        )
        try:
            done = generate(
                self._model,
                prompts_BP.to(device),
                first.config,
                attention_mask=None if mask_BP is None else mask_BP.to(device),
                rng=[torch.Generator().manual_seed(job.seed) for job in self._batch],
                on_step=self._on_step,
            )
        except _EnoughError:
            return
        self._passes = done.forward_passes
        for row in list(self._open):
            self._settle(row, done.ids_BT[row, self._width :].tolist())
        assert not self._open

    def _on_step(self, step: Step) -> None:
        if self._batcher.closing:
            for row in self._open:
                self._batcher.tell(self._batch[row], _closing())
            raise _EnoughError
        self._passes = step.forward_passes
        answers = step.ids_BT[:, self._width :].tolist()
        committed = step.committed_BT[:, self._width :]
        mask = self._tokenizer.special.mask
        for row in list(self._open):
            job, ids = self._batch[row], answers[row]
            if job.gone:
                self._open.remove(row)
                continue
            if job.frames:
                positions = committed[row].nonzero()[:, 0].tolist()
                tokens = tuple((at, self._tokenizer.decode([ids[at]])) for at in positions)
                job.fixed.update(dict.fromkeys(positions, step.step))
                self._batcher.tell(job, Frame(step.step, step.steps, tokens))
            settled = ids.index(mask) if mask in ids else len(ids)
            self._settle(row, ids[:settled])
        if not self._open:
            raise _EnoughError

    def _settle(self, row: int, ids: list[int]) -> None:
        """Report what of a row is settled, and its end when it has one."""
        job = self._batch[row]
        if new := job.answer.settle(ids):
            self._batcher.tell(job, Delta(new))
        if job.answer.reason is not None:
            self._open.remove(row)
            if job.frames:
                self._batcher.tell(job, self._written(job, ids))
            finished = Finished(job.answer.reason, self._passes, len(self._batch))
            self._batcher.tell(job, finished)

    def _written(self, job: Job, ids: list[int]) -> Written:
        """Return the answer by tokens, cut where its text is."""
        texts, left = [], len(job.answer.text)
        for text in pieces(self._tokenizer, ids[: job.answer.tokens]):
            texts.append(text[:left])
            left -= len(texts[-1])
        return Written(tuple((text, job.fixed.get(at, 0)) for at, text in enumerate(texts)))


def _left_padded(prompts: Sequence[list[int]], pad: int) -> tuple[Tensor, Tensor | None]:
    """Return prompts_BP and their attention mask, None where all are equally long."""
    width = max(map(len, prompts))
    rows = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts])
    if all(len(ids) == width for ids in prompts):
        return rows, None
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
    return rows, mask


def _closing() -> ApiError:
    return ApiError(503, "the server is shutting down: ask again when it is back", code="closing")
