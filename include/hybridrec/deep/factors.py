"""Train factor models on a user's own item against negatives that the whole batch shares.

So a step is one matrix product, and an own item meets enough negatives to tell its rank among all items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hybridrec.deep.fields import FieldTable
from hybridrec.deep.held_out import Cut
from hybridrec.deep.networks.factors import Factors
from hybridrec.deep.networks.field_sum import embed
from hybridrec.deep.networks.sides import Inputs
from hybridrec.deep.sampling import Negatives
from hybridrec.retrieval.select import leave_out, row_blocks

# the mean loss of own scores (n,) against negatives (n, m), of which some are none (n, m), among so many items
Loss = Callable[[Tensor, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class FactorTask:
    """Pairs of a split as examples for two sums of embeddings. users, items: the split's tables."""

    network: Factors
    users: FieldTable
    items: FieldTable
    cut: Cut
    negatives: Negatives
    n_negatives: int
    ranking_loss: Loss

    @property
    def n_examples(self) -> int:
        """The pairs of the cut."""
        return len(self.cut.examples.users)

    def loss(self, examples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Return the ranking loss of the batch against fresh negatives."""
        pairs = self.cut.examples.take(examples)
        drawn = self.negatives.draw(1, self.n_negatives, rng)[0]
        users = self.network.users(Inputs.of(self.users.take(pairs.users)))  # (n, factors + 1)
        own = self.network.items(Inputs.of(self.items.take(pairs.items)))
        others = self.network.items(Inputs.of(self.items.take(drawn)))
        chosen = self.cut.matrix[pairs.users][:, drawn].toarray() > 0  # (n, m)
        return self.ranking_loss((users * own).sum(dim=1), users @ others.T, torch.from_numpy(chosen), len(self.items.codes))

    def judge(self) -> float:
        """Return NDCG of each held-out item among all items that its user did not choose."""
        held_out, gains = self.cut.held_out, []
        if not len(held_out.users):
            return float("nan")
        users, items = embed(self.network.users, self.users.take(held_out.users)), embed(self.network.items, self.items)
        for rows in row_blocks(len(users), len(items)):
            scores = users[rows] @ items.T
            own = np.take_along_axis(scores, held_out.items[rows, None], axis=1)
            leave_out(scores, self.cut.matrix[held_out.users[rows]])
            gains.append(1 / np.log2(2 + (scores > own).sum(axis=1)))
        return float(np.concatenate(gains).mean())


def bpr_loss(own: Tensor, others: Tensor, chosen: Tensor, _n_items: int) -> Tensor:
    """Return minus the log of the odds that the own item precedes a negative, mean over the negatives."""
    losses = F.softplus(others - own[:, None]).masked_fill(chosen, 0)
    return (losses.sum(dim=1) / (~chosen).sum(dim=1).clamp(min=1)).mean()


def warp_loss(own: Tensor, others: Tensor, chosen: Tensor, n_items: int) -> Tensor:
    """Return the mean margin violation of the negatives, times the log of the own item's rank.

    The rank is not found by drawing until one comes too close, as in the paper, but estimated from all at once.
    """
    excess = (1 + others - own[:, None]).clamp(min=0).masked_fill(chosen, 0)
    n_close = (excess > 0).sum(dim=1)
    rank = n_items * n_close / (~chosen).sum(dim=1).clamp(min=1)
    return (torch.log1p(rank) * excess.sum(dim=1) / n_close.clamp(min=1)).mean()
