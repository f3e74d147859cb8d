"""Two towers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import INITIAL_STD, Embeddings, Inputs


class TwoTowers(nn.Module):  # type: ignore[misc]  # torch's types are not followed: they cost mypy a minute
    """An item is the sum of what its fields and its content say; a user is the same of the history, transformed.

    Scores are cosines / temperature.
    """

    def __init__(self, users: Layout, items: Layout, dims: int, hidden: int, temperature: float) -> None:
        super().__init__()
        self.user_fields, self.item_fields = Embeddings(users, dims), Embeddings(items, dims)
        self.user_content, self.item_content = (nn.Parameter(torch.randn(side.n_dense, dims) * INITIAL_STD) for side in (users, items))
        self.transform = nn.Sequential(nn.Linear(dims, hidden), nn.ReLU(), nn.Linear(hidden, dims))
        self.temperature = temperature

    def users(self, users: Inputs) -> Tensor:
        """Unit vectors (n, dims)."""
        state = self.user_fields(users).sum(dim=1) + users.dense @ self.user_content
        return F.normalize(state + self.transform(state), dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Unit vectors (n, dims)."""
        return F.normalize(self.item_fields(items).sum(dim=1) + items.dense @ self.item_content, dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(..., dims) and (..., dims) -> (...)."""
        return (users * items).sum(dim=-1) / self.temperature
