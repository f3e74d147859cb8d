"""Train two towers on each user's own item against those of the others in the batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hybridrec.deep.distributed import first_row, gathered
from hybridrec.deep.networks.sides import Inputs
from hybridrec.deep.networks.two_towers import TwoTowers
from hybridrec.deep.pairs import PairTask, forget


@dataclass(frozen=True)
class TowerTask(PairTask):
    """The pairs of a split; its negatives are only what the held-out pairs are ranked against."""

    network: TwoTowers

    def loss(self, examples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Return the softmax of each user's own item among all items of the batch, mean over the batch.

        If several processes share a batch, its items are those of all.
        """
        pairs = self.cut.examples.take(examples)
        users = self.network.users(Inputs.of(self._askers(pairs, self.cut.days[examples])))
        items = gathered(self.network.items(Inputs.of(forget(self.items.take(pairs.items), "item", self.id_dropout, rng))))
        scores = users @ items.T / self.network.temperature  # (n, n_items)
        own = torch.arange(len(pairs.items)) + first_row(users)
        return in_batch_loss(scores, own, gathered(torch.from_numpy(pairs.items)), self._log_frequency)

    @cached_property
    def _log_frequency(self) -> Tensor:
        counts = np.maximum(np.bincount(self.cut.examples.items, minlength=len(self.items.codes)), 1)
        return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))


def in_batch_loss(scores: Tensor, own: Tensor, items: Tensor, log_q: Tensor) -> Tensor:
    """Return softmax loss of each row's own item against the rest of the row, corrected for how often its items are in a batch.

    scores: (n, n_items) of a user and an item of the batch. own: (n,), column of the user's own. items: (n_items,). log_q: by item.
    """
    same = (items[own][:, None] == items[None, :]).scatter(1, own[:, None], False)  # another's copy of the own item is no negative
    return F.cross_entropy((scores - log_q[items]).masked_fill(same, -torch.inf), own)
