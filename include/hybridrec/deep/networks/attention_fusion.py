"""A user looks at the parts of an item, at some more than at others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import Embeddings, Inputs


class AttentionFusion(nn.Module):  # type: ignore[misc]
    """The parts of an item are its fields and its content; the user's attention weighs them, the user's taste judges them.

    An item's side is its parts in sequence and, at the end, a weight of its own.
    """

    def __init__(self, users: Layout, items: Layout, factors: int) -> None:
        super().__init__()
        self.factors, self.n_parts = factors, items.n_fields + bool(items.n_dense)
        self.user_vectors = Embeddings(users, factors)
        self.item_features = Embeddings(items, factors + 1)  # a vector and a weight each
        self.user_content = nn.Linear(users.n_dense, factors, bias=False) if users.n_dense else None
        self.item_content = nn.Linear(items.n_dense, factors, bias=False) if items.n_dense else None
        self.attention = nn.Linear(factors, factors)
        self.part_weights = nn.Parameter(torch.zeros(self.n_parts, factors))

    def users(self, users: Inputs) -> Tensor:
        """Return (n, 2 * factors): what the user looks for, and the taste."""
        taste = self.user_vectors(users).sum(dim=1)
        if self.user_content is not None:
            taste = taste + self.user_content(users.dense)
        return torch.cat([self.attention(taste), taste], dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Return (n, n_parts * factors + 1)."""
        features = self.item_features(items)
        parts, weights = features[..., :-1], features[..., -1]
        if self.item_content is not None:
            parts = torch.cat([parts, self.item_content(items.dense)[:, None]], dim=1)
        return torch.cat([parts.flatten(1), weights.sum(dim=1, keepdim=True)], dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the taste's product with the parts, weighed by attention."""
        parts = items[..., :-1].unflatten(-1, (self.n_parts, self.factors))
        query, taste = users[..., None, : self.factors], users[..., None, self.factors :]
        looks = ((parts + self.part_weights) * query).sum(dim=-1) / math.sqrt(self.factors)  # (..., n_parts)
        return (torch.softmax(looks, dim=-1) * (parts * taste).sum(dim=-1)).sum(dim=-1) + items[..., -1]
