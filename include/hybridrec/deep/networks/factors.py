"""Sums of embeddings on both sides, and their product."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.field_sum import FieldSum
from hybridrec.deep.networks.sides import Inputs


class Factors(nn.Module):  # type: ignore[misc]  # torch's types are not followed: they cost mypy a minute
    """A user's and an item's vector; the last number of an item's is its bias, so the last of a user's is 1."""

    def __init__(self, users: Layout, items: Layout, factors: int) -> None:
        super().__init__()
        self.user, self.item = FieldSum(users, factors), FieldSum(items, factors + 1)

    def users(self, users: Inputs) -> Tensor:
        """Return (n, factors + 1)."""
        return F.pad(self.user(users), (0, 1), value=1.0)

    def items(self, items: Inputs) -> Tensor:
        """Return (n, factors + 1)."""
        return self.item(items)
