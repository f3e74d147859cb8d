"""Shared parts of all pair networks: a side for the user, a side for the item, and their combination.

Shapes: n rows, F fields, K numbers an embedding, U and I numbers of a side's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from hybridrec.deep.fields import FieldTable, Layout

INITIAL_STD = 0.05


class Inputs(NamedTuple):
    """Rows of a FieldTable for a network. codes: int32 (n, fields of one code). dense: float32 (n, n_dense)."""

    codes: Tensor
    bags: Mapping[str, csr_array]
    dense: Tensor

    @classmethod
    def of(cls, table: FieldTable) -> Inputs:
        """Return the table's arrays, not copied."""
        return cls(torch.from_numpy(table.codes), table.bags, torch.from_numpy(table.dense))


class PairNetwork(Protocol):
    """A network whose work is done once a user and once an item as far as possible, and only the rest once a pair."""

    def users(self, users: Inputs) -> Tensor:
        """Return (n, U)."""

    def items(self, items: Inputs) -> Tensor:
        """Return (n, I)."""

    def __call__(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores of pairs (..., U) and (..., I), leading dimensions broadcast."""


class Embeddings(nn.Module):  # type: ignore[misc]  # torch's types are not followed: they cost mypy a minute
    """An embedding for each field: of its code, or the mean over its bag; zero for what is unknown."""

    def __init__(self, layout: Layout, size: int, std: float = INITIAL_STD) -> None:
        super().__init__()
        self.codes = nn.Embedding(layout.n_codes, size, padding_idx=0)
        self.bags = nn.ParameterDict({name: nn.Parameter(torch.randn(n, size) * std) for name, n in layout.bags.items()})
        nn.init.normal_(self.codes.weight[1:], std=std)

    def forward(self, rows: Inputs) -> Tensor:
        """Return (n, F, size): fields of one code first, then bags, in the order of the layout."""
        means = [BagMean.apply(table, rows.bags[name]) for name, table in self.bags.items()]
        return torch.cat([self.codes(rows.codes), *(mean[:, None] for mean in means)], dim=1)


class BagMean(torch.autograd.Function):  # type: ignore[misc]
    """The mean of a table's rows over each bag, by a sparse product: its gradient takes a tenth of embedding_bag's time."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, bag: csr_array) -> Tensor:
        """Return table (n_values, size), bag csr (n, n_values) -> (n, size)."""
        ctx.bag = bag
        return torch.from_numpy(bag @ table.detach().numpy())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return (n, size) -> (n_values, size)."""
        return torch.from_numpy(ctx.bag.T @ gradient.numpy()), None


class PairLayers(nn.Module):  # type: ignore[misc]
    """A multilayer perceptron of a user's and an item's numbers side by side: `hidden` wide, then half of it, then the score.

    Its first layer is linear in each side, so each side goes through its own part of it once.
    """

    def __init__(self, n_user: int, n_item: int, hidden: int) -> None:
        super().__init__()
        self.user, self.item = nn.Linear(n_user, hidden), nn.Linear(n_item, hidden, bias=False)
        self.later = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden // 2), nn.ReLU(), nn.Linear(hidden // 2, 1))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores from what `user` and `item` gave, (..., hidden) each -> (...)."""
        return self.later(users + items).squeeze(-1)


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Return products of vectors (..., K) -> (...)."""
    return (left * right).sum(dim=-1)
