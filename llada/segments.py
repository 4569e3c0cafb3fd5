"""Segments: runs of tokens that see only themselves, laid end to end without what is padding.

Padding and packed documents are one question, *who sees whom*, and have one answer: gather the
tokens that exist into one row, keep the bounds of each segment, and let attention treat the
segments one by one. No mask is built, so no kernel is ruled out by one (on a GPU, any mask rules
out flash attention), and padding costs nothing in the other layers either.

Shapes: B batch, L row, N visible tokens of all rows, S segments, D model width.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from llada.errors import LladaError


@dataclass(frozen=True, eq=False)
class Segments:
    """The visible tokens of a batch in packed order, the shortest segment first.

    Equal lengths stand together: the segments of one length are a plain batch, a view of the row.
    """

    shape: tuple[int, int]  # (B, L) of the batch
    token_N: Tensor  # where each packed token stands in the flattened batch, int64
    bounds_S: Tensor  # where each segment begins, then where the last ends: S + 1 values, int32
    groups: tuple[tuple[int, int], ...]  # (how many segments, of which length), in packed order

    @classmethod
    def of(cls, attention_mask: Tensor | None, document_ids_BL: Tensor | None) -> Self:
        """Find the segments: one a row, or one a document of a row; at least one argument is given.

        `attention_mask` (B, L) is 0 or False at padding. Tokens of a row with equal ids in
        `document_ids_BL` (B, L; any integers, in any order) are one document. Lengths are shapes,
        so they must be known here: what lies on a GPU is fetched first, which waits for the device
        once, and all that follows is done where it waits for nothing.
        """
        rows_BL = attention_mask if attention_mask is not None else document_ids_BL
        assert rows_BL is not None
        batch, length = rows_BL.shape
        token_N = torch.arange(batch * length)
        if attention_mask is not None:
            token_N = token_N[attention_mask.flatten().bool().cpu()]
        if not len(token_N):
            raise LladaError(
                "attention_mask hides every token of the batch; it is 1 where a token is "
                "seen: show at least one, or leave the mask out"
            )
        row_N = token_N // length
        new_N = row_N.diff(prepend=row_N.new_full((1,), -1)) != 0
        if document_ids_BL is not None:
            document_T = document_ids_BL.flatten().cpu()
            by_document = document_T[token_N].argsort(stable=True)
            token_N = token_N[by_document][row_N[by_document].argsort(stable=True)]
            ids_N = document_T[token_N]
            new_N |= ids_N.diff(prepend=ids_N[:1]) != 0
        size_S = new_N.nonzero()[:, 0].diff(
            append=new_N.new_full((1,), len(new_N), dtype=torch.long)
        )
        token_N = token_N[size_S[new_N.cumsum(0) - 1].argsort(stable=True)]
        size_S = size_S.sort().values
        return cls(
            shape=(batch, length),
            token_N=token_N.to(rows_BL.device),
            bounds_S=torch.cat([size_S.new_zeros(1), size_S.cumsum(0)]).int().to(rows_BL.device),
            groups=tuple((count, size) for size, count in Counter(size_S.tolist()).items()),
        )

    def positions(self) -> Tensor:
        """Return where each token stands in its row, position_N.

        Positions do not restart: rotary attention depends on distances alone, which are the same.
        """
        return self.token_N % self.shape[1]

    @property
    def longest(self) -> int:
        """Length of the longest segment, in tokens."""
        return self.groups[-1][1]

    @property
    def is_whole_batch(self) -> bool:
        """Whether nothing is hidden from anyone: every row is one segment of full length."""
        return self.groups == (self.shape,)

    def pack(self, ids_BL: Tensor) -> Tensor:
        """Return the visible tokens as one row, ids_1N."""
        return ids_BL.flatten()[self.token_N][None]

    def places(self, place_N: Tensor) -> Tensor:
        """Return where tokens of the flattened batch stand in the packed row.

        Raises `IndexError` on a CPU, and a device assertion elsewhere, for a token that is hidden.
        """
        batch, length = self.shape
        nowhere = len(self.token_N)
        packed = torch.full((batch * length,), nowhere, device=self.token_N.device)
        packed[self.token_N] = torch.arange(nowhere, device=self.token_N.device)
        return packed[place_N]

    def unpack(self, h_1ND: Tensor) -> Tensor:
        """Return h_BLD with every token back in its place and zeros at padding."""
        batch, length = self.shape
        width = h_1ND.shape[-1]
        flat = h_1ND.new_zeros(batch * length, width)
        return flat.index_copy(0, self.token_N, h_1ND[0]).view(batch, length, width)
