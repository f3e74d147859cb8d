"""Deep and cross network, version 2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import Embeddings, Inputs, PairLayers


class CrossLayer(nn.Module):  # type: ignore[misc]
    """x0 * (U V x + b) + x: each layer raises the degree of the features' products by one; U V is a matrix of low rank."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Linear(width, rank, bias=False), nn.Linear(rank, width)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        """Return (..., width) both -> (..., width)."""
        return first * self.widen(self.narrow(x)) + x


class CrossNetwork(nn.Module):  # type: ignore[misc]
    """Cross layers and a perceptron beside them, over the embeddings of all fields of both sides."""

    def __init__(self, users: Layout, items: Layout, factors: int, rank: int, layers: int, hidden: int) -> None:
        super().__init__()
        self.n_user, self.n_item = users.n_fields * factors, items.n_fields * factors
        self.user_vectors, self.item_vectors = Embeddings(users, factors), Embeddings(items, factors)
        self.crosses = nn.ModuleList(CrossLayer(self.n_user + self.n_item, rank) for _ in range(layers))
        self.weights = nn.Linear(self.n_user + self.n_item, 1)
        self.layers = PairLayers(self.n_user, self.n_item, hidden)

    def users(self, users: Inputs) -> Tensor:
        """Return (n, n_user + hidden)."""
        vectors = self.user_vectors(users).flatten(1)
        return torch.cat([vectors, self.layers.user(vectors)], dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Return (n, n_item + hidden)."""
        vectors = self.item_vectors(items).flatten(1)
        return torch.cat([vectors, self.layers.item(vectors)], dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of both parts."""
        own, of_item = users[..., : self.n_user], items[..., : self.n_item]
        crossed = first = torch.cat([own.expand(*of_item.shape[:-1], -1), of_item], dim=-1)
        for layer in self.crosses:
            crossed = layer(first, crossed)
        return self.weights(crossed).squeeze(-1) + self.layers(users[..., self.n_user :], items[..., self.n_item :])
