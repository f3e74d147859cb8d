"""Train pair scorers on a user's own item against items drawn at random.

The loss is a softmax over the own item and its negatives, corrected for how often each is drawn (Bengio and Senécal,
2008), so scores are what they would be against all items. On dense ratings without time it ranked 4 % better than pairwise
comparison (BPR) and 2 to 3 % better than yes or no pair by pair; on ratings by a calendar the three could not be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional as F

from hybridrec.deep.fields import FieldTable, context_of, with_history, without
from hybridrec.deep.held_out import Cut, Examples
from hybridrec.deep.networks.sides import Inputs, PairNetwork
from hybridrec.deep.sampling import Negatives
from hybridrec.types import Floats

RIVALS = 100  # negatives that a held-out pair is ranked against
PAIRS_AT_ONCE = 4096  # what fits the cache is faster


class Rivals(NamedTuple):
    """The held-out pairs in the first column, their negatives in the others: items int64, chosen bool, (n, 1 + RIVALS)."""

    items: NDArray[np.int64]
    chosen: NDArray[np.bool_]


@dataclass(frozen=True)
class PairTask:
    """Pairs of a split as examples for a network.

    users, items: the split's tables. bags: csr (n_users, n_items), the users' histories without the held-out pairs.
    id_dropout: share of users and items whose own code is hidden, so the other fields learn to do without.
    """

    network: PairNetwork
    users: FieldTable
    items: FieldTable
    bags: csr_array
    cut: Cut
    negatives: Negatives
    n_negatives: int
    id_dropout: float
    seed: int

    @property
    def n_examples(self) -> int:
        """The pairs of the cut."""
        return len(self.cut.examples.users)

    def loss(self, examples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Return the softmax of the own item among its negatives, mean over the batch."""
        pairs = self.cut.examples.take(examples)
        drawn = self.negatives.draw(len(examples), self.n_negatives, rng)
        chosen = self.negatives.were_chosen(pairs.users, drawn)
        items, indices = np.unique(np.column_stack([pairs.items, drawn]), return_inverse=True)
        indices = indices.reshape(len(examples), -1)
        users = self.network.users(Inputs.of(forget(self._askers(pairs, self.cut.days[examples]), "user", self.id_dropout, rng)))
        vectors = self.network.items(Inputs.of(forget(self.items.take(items), "item", self.id_dropout, rng)))
        scores = self.network(users[:, None], F.embedding(torch.from_numpy(indices), vectors))  # (n, 1 + n_negatives)
        scores = scores - torch.from_numpy(self.negatives.log_q[items][indices])
        scores[:, 1:].masked_fill_(torch.from_numpy(chosen), -torch.inf)
        return F.cross_entropy(scores, torch.zeros(len(examples), dtype=torch.long))

    def judge(self) -> float:
        """Return NDCG of each held-out item among random ones."""
        held_out, rivals = self.cut.held_out, self._rivals
        if not len(held_out.users):
            return float("nan")
        asked = with_history(self.users.take(held_out.users), self.bags[held_out.users], self.items)
        rows = np.repeat(np.arange(len(held_out.users)), rivals.items.shape[1])
        scores = score(self.network, asked, self.items, rows, rivals.items.ravel()).reshape(rivals.items.shape)
        better = (scores[:, 1:] >= scores[:, :1]) & ~rivals.chosen[:, 1:]
        return float((1 / np.log2(2 + better.sum(axis=1))).mean())

    @cached_property
    def _rivals(self) -> Rivals:
        held_out = self.cut.held_out
        drawn = self.negatives.draw(len(held_out.users), RIVALS, np.random.default_rng(self.seed))
        items = np.column_stack([held_out.items, drawn])
        return Rivals(items, self.negatives.were_chosen(held_out.users, items) | (items == held_out.items[:, None]))

    def _askers(self, pairs: Examples, days: NDArray[np.float64]) -> FieldTable:
        table = with_history(self.users.take(pairs.users), without(self.bags[pairs.users], pairs.items), self.items)
        for name, codes in context_of(self.users).codes(days).items():
            # every second time it is unknown, as it is when lists are made
            table = table.with_codes(name, np.where(np.arange(len(codes)) % 2 == 0, codes, 0).astype(np.int32))
        return table


def score(network: PairNetwork, users: FieldTable, items: FieldTable, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Floats:
    """Return scores of pairs (users row rows[i], items row columns[i]); each user and each item goes through its side once."""
    asked, indices = np.unique(columns, return_inverse=True)
    scores = np.empty(len(rows), dtype=np.float32)
    with torch.no_grad():
        of_users, of_items = network.users(Inputs.of(users)), network.items(Inputs.of(items.take(asked)))
        for start in range(0, len(rows), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            part_scores = network(of_users[torch.from_numpy(rows[part].astype(np.int64))], of_items[torch.from_numpy(indices[part])])
            scores[part] = part_scores.numpy()
    return scores


def forget(table: FieldTable, name: str, share: float, rng: np.random.Generator) -> FieldTable:
    """Return the table with a share of one field's codes unknown; as it is if it has no such field."""
    if name not in table.layout.names:
        return table
    codes = table.codes[:, table.layout.names.index(name)]
    return table.with_codes(name, np.where(rng.random(len(codes)) < share, 0, codes).astype(np.int32))
