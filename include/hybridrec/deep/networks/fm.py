"""Factorisation machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import Embeddings, Inputs, dot


class FactorisationMachine(nn.Module):  # type: ignore[misc]
    """Weights of all features plus the products of all pairs of their vectors.

    A side's result is the sum of its vectors and, in the last place, its weights plus the products within the side.
    """

    def __init__(self, users: Layout, items: Layout, factors: int) -> None:
        super().__init__()
        self.user_vectors, self.item_vectors = Embeddings(users, factors), Embeddings(items, factors)
        self.user_weights, self.item_weights = Embeddings(users, 1), Embeddings(items, 1)

    def users(self, users: Inputs) -> Tensor:
        """(n, factors + 1)."""
        return side(self.user_vectors(users), self.user_weights(users))

    def items(self, items: Inputs) -> Tensor:
        """(n, factors + 1)."""
        return side(self.item_vectors(items), self.item_weights(items))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """The scores of pairs of sides."""
        return meet(users, items)


def side(vectors: Tensor, weights: Tensor) -> Tensor:
    """Vectors (n, F, K) and weights (n, F, 1) -> (n, K + 1): their sum, and what the side has by itself."""
    alone = weights.sum(dim=(1, 2)) + pairwise_products(vectors)
    return torch.cat([vectors.sum(dim=1), alone[:, None]], dim=1)


def meet(users: Tensor, items: Tensor) -> Tensor:
    """The products between the sides (..., K + 1), and what each has by itself -> (...)."""
    return dot(users[..., :-1], items[..., :-1]) + users[..., -1] + items[..., -1]


def pairwise_products(vectors: Tensor) -> Tensor:
    """Sum of the products of all pairs of vectors (n, F, K) -> (n,), in time F * K (Rendle, eq. 4)."""
    total, squares = vectors.sum(dim=1), vectors.square().sum(dim=1)
    return 0.5 * (total.square() - squares).sum(dim=1)
