"""Padding and packed documents: the same numbers as without them, and no mask on the way."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llada.attention import visible_keys
from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.segments import Segments

KINDS: list[dict[str, object]] = [
    {"n_kv_heads": 4},
    {"causal": True},
    {"tied_embeddings": True, "n_kv_heads": 2},
]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(params=KINDS, ids=["mha", "causal", "gqa-tied"])
def kind(config: ModelConfig, request: pytest.FixtureRequest) -> MaskPredictor:
    rng = torch.Generator().manual_seed(0)
    return MaskPredictor(ModelConfig(**{**dict(config), **request.param}), rng=rng)


def ids(*lengths: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(7)
    return [torch.randint(5, 96, (length,), generator=rng) for length in lengths]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_gives_what_each_row_gives_alone(kind: MaskPredictor, side: str) -> None:
    rows = ids(9, 4, 9, 1, 6)
    padded = torch.full((5, 9), 3)
    mask = torch.zeros(5, 9)
    for i, row in enumerate(rows):
        where = slice(9 - len(row), 9) if side == "left" else slice(0, len(row))
        padded[i, where], mask[i, where] = row, 1
    h_BLD = kind.hidden(padded, mask)
    logits_BLV = kind(padded, mask)
    for i, row in enumerate(rows):
        shown = mask[i].bool()
        close(h_BLD[i][shown], kind.hidden(row[None])[0])
        close(logits_BLV[i][shown], kind(row[None])[0])
    assert not h_BLD[mask == 0].any()


def test_two_documents_in_a_row_give_what_each_gives_alone(kind: MaskPredictor) -> None:
    one, two, three = ids(5, 7, 12)
    packed = torch.stack([torch.cat([one, two]), three])
    documents = torch.tensor([[8] * 5 + [2] * 7, [8] * 12])
    for h_BLD in (
        kind.hidden(packed, document_ids_BL=documents),
        kind.hidden(packed, torch.ones_like(packed), documents),
    ):
        close(h_BLD[0, :5], kind.hidden(one[None])[0])
        close(h_BLD[0, 5:], kind.hidden(two[None])[0])
        close(h_BLD[1], kind.hidden(three[None])[0])
        close(kind(packed, document_ids_BL=documents), kind.head(h_BLD))
    assert not torch.allclose(kind.hidden(packed)[0], h_BLD[0], atol=1e-3)


def test_padding_within_documents_is_seen_by_nobody(kind: MaskPredictor) -> None:
    one, two = ids(5, 7)
    packed = torch.cat([one[:2], torch.tensor([3, 3]), one[2:], two])[None]  # padding in the middle
    mask = torch.tensor([[1, 1, 0, 0, 1, 1, 1, *[1] * 7]])
    documents = torch.tensor([[0] * 7 + [1] * 7])
    h_BLD, logits_BLV = kind.hidden(packed, mask, documents), kind(packed, mask, documents)
    shown = mask.bool()
    close(logits_BLV[shown], kind.head(h_BLD)[shown])
    close(h_BLD[0, 7:], kind.hidden(two[None])[0])
    packed[0, 2:4] = 9
    close(kind(packed, mask, documents)[shown], logits_BLV[shown])
    # A gap keeps its width: closing it moves tokens nearer to each other.
    assert not torch.allclose(h_BLD[0, :7][shown[0, :7]], kind.hidden(one[None])[0], atol=1e-4)


def test_gradients_pass_through_the_packed_row(kind: MaskPredictor) -> None:
    (row,) = ids(6)
    padded = torch.cat([torch.full((3,), 3), row])[None]
    kind.hidden(padded, torch.arange(9)[None] >= 3).square().sum().backward()
    found = {name: p.grad for name, p in kind.named_parameters() if p.grad is not None}
    kind.zero_grad()
    kind.hidden(row[None]).square().sum().backward()
    assert found
    for name, gradient in found.items():
        expected = kind.get_parameter(name).grad
        assert expected is not None
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3)


def test_no_mask_reaches_the_kernel(model: MaskPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any mask rules out flash attention on a GPU."""
    masks = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def seen(*args: Tensor, attn_mask: Tensor | None, enable_gqa: bool, **options: bool) -> Tensor:
        masks.append(attn_mask)
        assert not enable_gqa or attn_mask is None  # together they leave a GPU the math kernel
        return kernel(*args, attn_mask=attn_mask, enable_gqa=enable_gqa, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", seen)
    padded = torch.stack(ids(9, 9))
    model.hidden(padded, torch.tensor([[0] * 4 + [1] * 5, [1] * 9]))
    assert len(masks) == 2 * model.config.n_layers  # a call for each length, in every layer
    assert masks == [None] * len(masks)
    model(padded, torch.tensor([[0] * 4 + [1] * 5, [1] * 9]))
    assert [mask.shape for mask in masks[len(masks) - model.config.n_layers :]] == [
        (2, 1, 1, 9)  # a row of keys for all queries, never a square
    ] * model.config.n_layers


@settings(max_examples=60, deadline=None)
@given(data=st.data(), batch=st.integers(1, 4), length=st.integers(1, 7))
def test_segments_are_exactly_the_pairs_that_see_each_other(
    data: st.DataObject, batch: int, length: int
) -> None:
    cells = st.lists(st.integers(0, 2), min_size=batch * length, max_size=batch * length)
    mask = torch.tensor(data.draw(cells)).clamp(max=1).view(batch, length)
    documents = torch.tensor(data.draw(cells)).view(batch, length)
    mask[0, 0] = 1
    segments = Segments.of(mask, documents)
    assert sorted(segments.token_N.tolist()) == mask.flatten().nonzero().flatten().tolist()
    lengths = segments.bounds_S.diff().tolist()
    assert lengths == [n for count, n in segments.groups for _ in range(count)] == sorted(lengths)
    assert segments.longest == max(lengths)
    together = {
        (a, b)
        for run in segments.token_N.split(lengths)
        for a in run.tolist()
        for b in run.tolist()
    }
    visible = visible_keys(mask, documents, causal=False)
    assert visible is not None
    row, query, key = visible[:, 0].expand(-1, length, -1).nonzero().T
    shown = mask.flatten().bool()
    pairs = torch.stack([row * length + query, row * length + key], 1)
    assert together == {(a, b) for a, b in pairs.tolist() if shown[a] and shown[b]}
    for run in segments.token_N.split(lengths):
        assert run.tolist() == sorted(run.tolist())  # which a causal mask relies on


def test_nothing_hidden_is_the_plain_batch() -> None:
    assert Segments.of(torch.ones(3, 5), None).is_whole_batch
    assert Segments.of(None, torch.tensor([[4, 4], [9, 9]])).is_whole_batch
    assert not Segments.of(None, torch.tensor([[4, 5], [9, 9]])).is_whole_batch
    assert not Segments.of(torch.tensor([[1, 0], [0, 1]]), None).is_whole_batch


def test_a_batch_that_is_all_padding_is_refused(model: MaskPredictor) -> None:
    with pytest.raises(LladaError, match="hides every token"):
        model.hidden(torch.ones(1, 3, dtype=torch.long), torch.zeros(1, 3))
    some = torch.tensor([[1, 1, 1], [0, 0, 0]])
    assert not model.hidden(torch.full((2, 3), 7), some)[1].any()
    assert model(torch.full((2, 3), 7), some)[0].isfinite().all()
