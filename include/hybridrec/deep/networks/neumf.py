"""Neural matrix factorisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import Embeddings, Inputs, PairLayers, dot


class NeuralFactors(nn.Module):  # type: ignore[misc]
    """A weighted product of factors (GMF) plus a perceptron over factors of its own; the users' side carries the weights.

    An embedding is the factors of both parts in sequence.
    """

    def __init__(self, users: Layout, items: Layout, factors: int, hidden: int) -> None:
        super().__init__()
        self.factors = factors
        self.user_factors, self.item_factors = Embeddings(users, 2 * factors), Embeddings(items, 2 * factors)
        self.weights = nn.Parameter(torch.ones(factors))
        self.layers = PairLayers(users.n_fields * factors, items.n_fields * factors, hidden)

    def users(self, users: Inputs) -> Tensor:
        """Return (n, factors + hidden)."""
        multiplied, layered = self.user_factors(users).chunk(2, dim=2)
        return torch.cat([multiplied.sum(dim=1) * self.weights, self.layers.user(layered.flatten(1))], dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Return (n, factors + hidden)."""
        multiplied, layered = self.item_factors(items).chunk(2, dim=2)
        return torch.cat([multiplied.sum(dim=1), self.layers.item(layered.flatten(1))], dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of both parts."""
        k = self.factors
        return dot(users[..., :k], items[..., :k]) + self.layers(users[..., k:], items[..., k:])
