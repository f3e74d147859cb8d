"""Collaborative and content embeddings of a pair in one perceptron."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import Embeddings, Inputs, PairLayers


class FeatureNet(nn.Module):  # type: ignore[misc]
    """Each side is its embeddings and dense numbers; the perceptron sees both sides and the products of their projections."""

    def __init__(self, users: Layout, items: Layout, factors: int, hidden: int) -> None:
        super().__init__()
        self.factors = factors
        self.user_vectors, self.item_vectors = Embeddings(users, factors), Embeddings(items, factors)
        n_user, n_item = users.n_fields * factors + users.n_dense, items.n_fields * factors + items.n_dense
        self.layers = PairLayers(n_user, n_item, hidden)
        self.user_taste, self.item_taste = nn.Linear(n_user, factors), nn.Linear(n_item, factors)
        self.products = nn.Linear(factors, hidden, bias=False)

    def users(self, users: Inputs) -> Tensor:
        """Return (n, factors + hidden)."""
        combined = torch.cat([self.user_vectors(users).flatten(1), users.dense], dim=1)
        return torch.cat([self.user_taste(combined), self.layers.user(combined)], dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Return (n, factors + hidden)."""
        combined = torch.cat([self.item_vectors(items).flatten(1), items.dense], dim=1)
        return torch.cat([self.item_taste(combined), self.layers.item(combined)], dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores."""
        k = self.factors
        together = self.products(users[..., :k] * items[..., :k])
        return self.layers(users[..., k:], items[..., k:] + together)
