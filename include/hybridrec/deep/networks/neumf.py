"""Neural matrix factorisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import Embeddings, Inputs, PairLayers, dot


class NeuralFactors(nn.Module):  # type: ignore[misc]
    """A weighted product of factors (GMF) plus a perceptron over factors of its own; the users' side carries the weights."""

    def __init__(self, users: Layout, items: Layout, factors: int, hidden: int) -> None:
        super().__init__()
        self.factors = factors
        self.user_factors, self.item_factors = Embeddings(users, factors), Embeddings(items, factors)
        self.user_inputs, self.item_inputs = Embeddings(users, factors), Embeddings(items, factors)
        self.weights = nn.Parameter(torch.ones(factors))
        self.layers = PairLayers(users.n_fields * factors, items.n_fields * factors, hidden)

    def users(self, users: Inputs) -> Tensor:
        """(n, factors + hidden)."""
        factors = self.user_factors(users).sum(dim=1) * self.weights
        return torch.cat([factors, self.layers.user(self.user_inputs(users).flatten(1))], dim=1)

    def items(self, items: Inputs) -> Tensor:
        """(n, factors + hidden)."""
        return torch.cat([self.item_factors(items).sum(dim=1), self.layers.item(self.item_inputs(items).flatten(1))], dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """The sum of both parts."""
        k = self.factors
        return dot(users[..., :k], items[..., :k]) + self.layers(users[..., k:], items[..., k:])
