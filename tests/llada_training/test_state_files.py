"""State comes back to the bit however it was cut and however it is cut now."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llada.training.errors import CheckpointError
from llada.training.state_files import PARTS, Fragment, consolidate, read_state, write_state

SHAPES = {"predictor.a": (4, 5), "predictor.b": (7,)}


def cut(flat: dict[str, dict[str, torch.Tensor]], borders: list[int]) -> list[list[Fragment]]:
    """Cut each parameter at the same borders; one list of views for each rank."""
    ranks = []
    for first, end in zip([0, *borders], [*borders, 20], strict=True):
        own = []
        for name, shape in SHAPES.items():
            start, stop = (min(x, flat[name]["master"].numel()) for x in (first, end))
            parts = {part: flat[name][part][start:stop] for part in PARTS}
            if stop > start:
                own.append(Fragment(name, shape, start, parts))
        ranks.append(own)
    return ranks


def numbers(fill: float | None = None) -> dict[str, dict[str, torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    sizes = {name: torch.Size(shape).numel() for name, shape in SHAPES.items()}
    return {
        name: {
            part: torch.randn(size, generator=rng) if fill is None else torch.full((size,), fill)
            for part in PARTS
        }
        for name, size in sizes.items()
    }


borders = st.lists(st.integers(1, 19), max_size=4, unique=True).map(sorted)


@given(before=borders, after=borders)
def test_any_cut_reads_any_other(
    before: list[int], after: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, written, read = tmp_path_factory.mktemp("cut"), numbers(), numbers(0.0)
    for rank, own in enumerate(cut(written, before)):
        assert write_state(folder, rank, own, updates=17)[0].parent == folder
    for own in cut(read, after):
        assert read_state(folder, own) == 17
    for name in SHAPES:
        for part in PARTS:
            assert torch.equal(read[name][part], written[name][part]), (name, part)
    weights = consolidate(folder)
    assert {name: tuple(w.shape) for name, w in weights.items()} == {"a": (4, 5), "b": (7,)}
    assert torch.equal(weights["a"].view(-1), written["predictor.a"]["master"])


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    (own,) = cut(numbers(), [])
    write_state(tmp_path, 0, own, updates=1)
    wider = own[0]._replace(shape=(5, 4))
    with pytest.raises(CheckpointError, match=r"0 of the 20 values of predictor\.a"):
        read_state(tmp_path, [wider])
