"""What two towers learn from: each user's own item against those of the others in the batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hybridrec.deep.networks.sides import Inputs
from hybridrec.deep.networks.two_towers import TwoTowers
from hybridrec.deep.pairs import PairLesson, forget


@dataclass(frozen=True)
class TowerLesson(PairLesson):
    """The pairs of a fold; its negatives are only what the held-out pairs are ranked against."""

    network: TwoTowers

    def loss(self, examples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Softmax of each user's own item among all items of the batch, mean over the batch."""
        pairs = self.cut.examples.take(examples)
        users = self.network.users(Inputs.of(self._askers(pairs, self.cut.days[examples])))
        items = self.network.items(Inputs.of(forget(self.items.take(pairs.items), "item", self.id_dropout, rng)))
        scores = users @ items.T / self.network.temperature  # (n, n)
        return in_batch_loss(scores, torch.from_numpy(pairs.items), self._log_frequency)

    @cached_property
    def _log_frequency(self) -> Tensor:
        counts = np.maximum(np.bincount(self.cut.examples.items, minlength=len(self.items.codes)), 1)
        return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))


def in_batch_loss(scores: Tensor, items: Tensor, log_q: Tensor) -> Tensor:
    """Softmax loss of the diagonal against the rest of each row, corrected for how often its items are in a batch.

    scores: (n, n) of user i and the item of user j. items: (n,). log_q: by item.
    """
    same = (items[:, None] == items[None, :]).fill_diagonal_(False)  # another's copy of the own item is no negative
    return F.cross_entropy((scores - log_q[items]).masked_fill(same, -torch.inf), torch.arange(len(items)))
