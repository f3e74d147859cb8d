"""Factorisation machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import Embeddings, Inputs, dot


class FactorisationMachine(nn.Module):  # type: ignore[misc]
    """Weights of all features plus the products of all pairs of their vectors.

    A feature's embedding is its vector and, in the last place, its weight; so is a side's result: the sum of its
    vectors, and its weights plus the products within the side.
    """

    def __init__(self, users: Layout, items: Layout, factors: int) -> None:
        super().__init__()
        self.user_features, self.item_features = Embeddings(users, factors + 1), Embeddings(items, factors + 1)

    def users(self, users: Inputs) -> Tensor:
        """Return (n, factors + 1)."""
        return side(self.user_features(users))

    def items(self, items: Inputs) -> Tensor:
        """Return (n, factors + 1)."""
        return side(self.item_features(items))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores of pairs of sides."""
        return meet(users, items)


def side(features: Tensor) -> Tensor:
    """Return vectors with weights (n, F, K + 1) -> (n, K + 1): their sum, and what the side has by itself."""
    total = features.sum(dim=1)
    alone = total[:, -1] + pairwise_products(features[..., :-1])
    return torch.cat([total[:, :-1], alone[:, None]], dim=1)


def meet(users: Tensor, items: Tensor) -> Tensor:
    """Return the products between the sides (..., K + 1), and what each has by itself -> (...)."""
    return dot(users[..., :-1], items[..., :-1]) + users[..., -1] + items[..., -1]


def pairwise_products(vectors: Tensor) -> Tensor:
    """Return the sum of the products of all pairs of vectors (n, F, K) -> (n,), in time F * K (Rendle, eq. 4)."""
    total, squares = vectors.sum(dim=1), vectors.square().sum(dim=1)
    return 0.5 * (total.square() - squares).sum(dim=1)
