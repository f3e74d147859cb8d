"""Field-aware factorisation machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import Embeddings, Inputs, dot


class FieldAwareMachine(nn.Module):  # type: ignore[misc]
    """Weights of all features plus the products of all pairs, each feature with another vector for each field it meets.

    A side's result is the vectors for the other side's fields and, in the last place, its weights plus the products within the side.
    """

    def __init__(self, users: Layout, items: Layout, factors: int) -> None:
        super().__init__()
        self.factors, self.n_user = factors, users.n_fields
        size = (self.n_user + items.n_fields) * factors + 1  # a vector for each field, and the weight
        self.user_features, self.item_features = Embeddings(users, size), Embeddings(items, size)

    def users(self, users: Inputs) -> Tensor:
        """Return (n, n_user * n_item * factors + 1), by user field, then item field."""
        features = self.user_features(users)
        for_users, for_items = self._split(features)
        return torch.cat([for_items.flatten(1), _alone(for_users, features)], dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Return (n, n_user * n_item * factors + 1), in the order of the users' side."""
        features = self.item_features(items)
        for_users, for_items = self._split(features)
        return torch.cat([for_users.transpose(1, 2).flatten(1), _alone(for_items, features)], dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the products between the sides, and what each side has by itself."""
        return dot(users[..., :-1], items[..., :-1]) + users[..., -1] + items[..., -1]

    def _split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors for the users' fields and those for the items' fields, (n, F, fields, K) each."""
        by_field = features[..., :-1].unflatten(2, (-1, self.factors))
        return by_field[:, :, : self.n_user], by_field[:, :, self.n_user :]


def _alone(within: Tensor, features: Tensor) -> Tensor:
    return (features[..., -1].sum(dim=1) + field_products(within))[:, None]


def field_products(vectors: Tensor) -> Tensor:
    """Sum over pairs of fields f < g of vectors[f, g] * vectors[g, f]; (n, F, F, K) -> (n,)."""
    products = dot(vectors, vectors.transpose(1, 2))  # (n, F, F), symmetric
    return 0.5 * (products.sum(dim=(1, 2)) - products.diagonal(dim1=1, dim2=2).sum(dim=1))
