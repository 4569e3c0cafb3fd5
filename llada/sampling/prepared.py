"""A model made ready for many generations of one shape: compiled layers, steps replayed as graphs.

A step of cached sampling at a small batch reads every weight for a few tokens. An eager model then
waits for its own launches: at 8 B on one H200 a pass over 32 tokens takes 25 ms, of which the
reading needs 3.5. Compiled layers fuse what lies between the matrix products, and a CUDA graph
launches a whole pass at once.

Shapes: B batch, T the whole text, W the columns of a step, D model width.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from llada.cache import KeyValueCache
from llada.errors import LladaError
from llada.model import MaskPredictor

_WARM_PASSES = 2  # before a capture: libraries set themselves up, kernels are chosen
_SHAPES = 64  # that one layer may be compiled for before the compiler would give up


@dataclass(frozen=True, eq=False)
class _Recorded:
    """A pass over some columns, with the buffers that it reads and writes."""

    replay: Callable[[], None]
    ids_BW: Tensor
    place_BW: Tensor
    hidden_BWD: Tensor


class Prepared:
    """A `MaskPredictor` for `generate` and `infill`, where `cache` is not "none".

    Compiles each shape once (seconds) and records each shape of a step once; buffers for keys and
    values stay allocated, those of the `shapes` used last. Worth it for batches of one shape again
    and again. One generation at a time: two share the buffers. The layers of the model itself
    become compiled ones; its weights are not copied, so do not train it meanwhile.
    """

    def __init__(
        self,
        model: MaskPredictor,
        *,
        backend: str | None = "inductor",
        graphs: bool | None = None,
        shapes: int = 4,
    ) -> None:
        """Compile with a backend of `torch.compile`, None for not at all.

        `graphs` replays steps as CUDA graphs; None means where the model lies on a GPU. `shapes`
        (texts, length) keep their buffers and records, 2 x layers x kv_dim numbers a token.

        Raises:
            LladaError: graphs are asked for and the model is on no GPU, or the model is causal.
        """
        on_gpu = model.device.type == "cuda"
        if graphs and not on_gpu:
            raise LladaError(
                f"graphs=True with a model on {model.device}; CUDA graphs need a GPU: move the "
                f"model there, or leave graphs out"
            )
        if model.config.causal:
            raise LladaError(
                "a causal model; what is prepared are passes with kept keys and values, which are "
                "those of a MaskPredictor that is not causal: give generate the model as it is"
            )
        self.model, self.config = model, model.config
        self._compiles = backend is not None
        self._graphs = on_gpu if graphs is None else graphs
        self._shapes = max(1, shapes)
        self._caches: dict[tuple[int, int], KeyValueCache] = {}  # the one used last comes last
        self._recorded: dict[tuple[object, ...], _Recorded] = {}
        if backend is not None:
            for block in model.model.transformer.blocks:
                block.compile(backend=backend, dynamic=False)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.device

    def __call__(self, ids_BL: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return logits_BLV, as the model does."""
        logits_BLV: Tensor = self.model(ids_BL, attention_mask)
        return logits_BLV

    def new_cache(self, rows: int, length: int) -> KeyValueCache:
        """Return the buffers for texts of this shape: the same ones every time, if kept."""
        found = self._caches.pop((rows, length), None)
        if found is None:
            while len(self._caches) >= self._shapes:
                self._forget(self._caches.pop(next(iter(self._caches))))
            with torch.inference_mode(False):
                found = new_cache(self.model, rows, length)
        self._caches[rows, length] = found
        return found

    def _forget(self, cache: KeyValueCache) -> None:
        """Let go of the passes that read a cache, before another gets its id."""
        self._recorded = {k: one for k, one in self._recorded.items() if k[0] != id(cache)}

    def hidden_cached(
        self, ids_BW: Tensor, cache: KeyValueCache, place_BW: Tensor | None = None
    ) -> Tensor:
        """Return h_BWD as the model does; after the first call of a shape, from its record.

        The result of a step is overwritten by the next step.
        """
        with self._mode():
            if place_BW is None:
                return self.model.hidden_cached(ids_BW.clone(), cache)
            key = (id(cache), tuple(ids_BW.shape), cache.visible is None)
            found = self._recorded.get(key)
            if found is None:
                found = self._recorded[key] = self._record(ids_BW, cache, place_BW)
            found.ids_BW.copy_(ids_BW)
            found.place_BW.copy_(place_BW)
            found.replay()
            return found.hidden_BWD

    @contextmanager
    def _mode(self) -> Iterator[None]:
        """No gradients, but no inference mode: the compiler may not write to its tensors."""
        limit = nullcontext()
        if self._compiles:
            limit = torch._dynamo.config.patch(recompile_limit=_SHAPES)
        with torch.inference_mode(False), torch.no_grad(), limit:
            yield

    def head(self, h: Tensor) -> Tensor:
        """Return logits for hidden rows, as the model does."""
        return self.model.head(h)

    def _record(self, ids_BW: Tensor, cache: KeyValueCache, place_BW: Tensor) -> _Recorded:
        """Run the step until it is warm, then record it; without graphs, a replay runs it again."""
        ids_BW, place_BW = ids_BW.clone(), place_BW.clone(memory_format=torch.contiguous_format)

        def step() -> Tensor:
            return self.model.hidden_cached(ids_BW, cache, place_BW)

        hidden_BWD = step()
        if not self._graphs:

            def again() -> None:
                hidden_BWD.copy_(step())

            return _Recorded(again, ids_BW, place_BW, hidden_BWD)
        aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_PASSES):
                step()
        torch.cuda.current_stream(self.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            hidden_BWD = step()
        return _Recorded(graph.replay, ids_BW, place_BW, hidden_BWD)


def new_cache(model: MaskPredictor, rows: int, length: int) -> KeyValueCache:
    """Return buffers for keys and values of so many texts of this length."""
    return KeyValueCache(
        model.config,
        rows,
        length,
        dtype=model.model.transformer.wte.weight.dtype,
        device=model.device,
    )
