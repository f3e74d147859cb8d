"""Two towers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.field_sum import FieldSum
from hybridrec.deep.networks.sides import Inputs


class TwoTowers(nn.Module):  # type: ignore[misc]  # torch's types are not followed: they cost mypy a minute
    """An item is the sum of what its fields and its content say; a user is the same of the history, transformed.

    Scores are cosines / temperature.
    """

    def __init__(self, users: Layout, items: Layout, dims: int, hidden: int, temperature: float) -> None:
        super().__init__()
        self.user, self.item = FieldSum(users, dims), FieldSum(items, dims)
        self.transform = nn.Sequential(nn.Linear(dims, hidden), nn.ReLU(), nn.Linear(hidden, dims))
        self.temperature = temperature

    def users(self, users: Inputs) -> Tensor:
        """Return unit vectors (n, dims)."""
        state = self.user(users)
        return F.normalize(state + self.transform(state), dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Return unit vectors (n, dims)."""
        return F.normalize(self.item(items), dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return (..., dims) and (..., dims) -> (...)."""
        return (users * items).sum(dim=-1) / self.temperature
