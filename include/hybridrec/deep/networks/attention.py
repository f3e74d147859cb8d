"""Causal self-attention over sequences of items, several short ones a row.

Shapes: n rows, W positions a row, D dims, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.field_sum import FieldSum

EXPANSION = 2  # the hidden layer's width, in dims


class SequenceNetwork(nn.Module):  # type: ignore[misc]  # torch's types are not followed: they cost mypy a minute
    """Reads items in their order and says at each position which vector the next item should have.

    An item has one vector, as input and as answer. The effect of the distance between two positions is learnt for each head, up to the
    width of a row; without `ordered` it has none.
    """

    def __init__(self, items: Layout, width: int, dims: int, blocks: int, heads: int, dropout: float, ordered: bool) -> None:
        super().__init__()
        self.ordered = ordered
        self.items = FieldSum(items, dims)
        self.distance = nn.Parameter(torch.zeros(heads, width), requires_grad=ordered)
        self.blocks = nn.ModuleList([AttentionBlock(dims, heads, dropout) for _ in range(blocks)])
        self.dropout = nn.Dropout(dropout)
        self.last = nn.LayerNorm(dims)

    def forward(self, items: Tensor, sizes: Tensor) -> Tensor:
        """Return the answers (n, W, D). items: their vectors (n, W, D). sizes: (n,), the positions that each sequence of a row has."""
        items = self.dropout(items * items.shape[2] ** 0.5)
        bias = self._bias(sizes, items.shape[1])
        # without order the newest item says no more than the others: a position begins as their mean
        state = items if self.ordered else torch.softmax(bias[:, 0], dim=-1) @ items
        for block in self.blocks:
            state = block(state, state if self.ordered else items, bias)
        return self.last(state)

    def _bias(self, sizes: Tensor, width: int) -> Tensor:
        """Return the term added to the attention of position i for j, (n, H, W, W): -inf for later or foreign positions."""
        position = torch.arange(width)
        back = position[:, None] - position[None, :]
        sequence = position[None, :] // sizes[:, None]  # (n, W)
        visible = (back >= 0) & (sequence[:, :, None] == sequence[:, None, :])  # (n, W, W)
        return self.distance[:, back.clamp(min=0)].masked_fill(~visible[:, None], -torch.inf)


class AttentionBlock(nn.Module):  # type: ignore[misc]
    """Attention, then two layers, each on the normalised state and added to it."""

    def __init__(self, dims: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_layers = nn.LayerNorm(dims), nn.LayerNorm(dims)
        self.query, self.key_value, self.join = nn.Linear(dims, dims), nn.Linear(dims, 2 * dims), nn.Linear(dims, dims)
        self.layers = nn.Sequential(nn.Linear(dims, EXPANSION * dims), nn.GELU(), nn.Linear(EXPANSION * dims, dims))
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: Tensor, seen: Tensor, bias: Tensor) -> Tensor:
        """Attend from the positions (n, W, D) to the visible ones (n, W, D) -> (n, W, D)."""
        n, width, dims = state.shape
        query = self.query(self.before_attention(state)).view(n, width, self.heads, -1).transpose(1, 2)  # (n, H, W, D / H)
        key, value = self.key_value(self.before_attention(seen)).view(n, width, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).reshape(n, width, dims)
        state = state + self.dropout(self.join(attended))
        return state + self.dropout(self.layers(self.before_layers(state)))
