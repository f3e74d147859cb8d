"""Users as sequences of items, and what a sequence network learns from them.

Short sequences share a row, so that no time goes into padding; the network keeps them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional as F

from hybridrec.deep.fields import FieldTable
from hybridrec.deep.held_out import Cut
from hybridrec.deep.networks.attention import SequenceNetwork
from hybridrec.deep.networks.field_sum import embed
from hybridrec.deep.networks.sides import Inputs
from hybridrec.deep.pairs import forget
from hybridrec.deep.sampling import Negatives
from hybridrec.retrieval.select import leave_out, row_blocks, row_numbers
from hybridrec.types import Floats

NOTHING = -1
ROWS_AT_ONCE = 128


class Sequences(NamedTuple):
    """The items of all users, oldest first, one user after the other.

    items, users: int64 (n_pairs,). starts: int64 (n_users + 1,).
    """

    items: NDArray[np.int64]
    users: NDArray[np.int64]
    starts: NDArray[np.int64]

    def shuffled(self, users: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the items with those of some different users in a new order."""
        lengths = self.starts[users + 1] - self.starts[users]
        positions = _ranges(self.starts[users], lengths)
        order = np.lexsort((rng.random(len(positions)), self.users[positions]))
        items = self.items.copy()
        items[np.sort(positions)] = self.items[positions[order]]
        return items


class Rows(NamedTuple):
    """Windows of sequences, as many a row as fit.

    positions: int64 (n_rows, width), where in the sequences an input stands, NOTHING for padding. sizes: int64 (n_rows,), the
    room that each window of the row has. last: int64 (n_windows,), where each window ends, in positions.ravel().
    """

    positions: NDArray[np.int64]
    sizes: NDArray[np.int64]
    last: NDArray[np.int64]


def sequences(matrix: csr_array, days: NDArray[np.floating], seed: int) -> Sequences:
    """Return all users' items by age, the days of each stored pair; equally old ones in an order that ignores their numbers."""
    users = row_numbers(matrix).astype(np.int64)
    tie = np.random.default_rng(seed).permutation(matrix.shape[1])[matrix.indices]
    order = np.lexsort((tie, -days, users))
    return Sequences(matrix.indices[order].astype(np.int64), users, matrix.indptr.astype(np.int64))


def windows_to_learn(histories: Sequences, width: int) -> Rows:
    """Return windows that cover all sequences from the newest end; each position's answer is the position behind it."""
    lengths = np.maximum(np.diff(histories.starts) - 1, 0)  # the newest item is an answer only
    n_windows = -(-lengths // width)
    users = np.repeat(np.arange(len(lengths)), n_windows)
    back = _ranges(np.zeros_like(n_windows), n_windows)  # 0 is a user's newest window
    ends = histories.starts[users] + lengths[users] - back * width
    return pack(np.maximum(ends - width, histories.starts[users]), ends, width)


def newest_windows(histories: Sequences, users: NDArray[np.int64], width: int) -> Rows:
    """Return the newest window of each of some users with a history."""
    ends = histories.starts[users + 1]
    return pack(np.maximum(ends - width, histories.starts[users]), ends, width)


def pack(starts: NDArray[np.int64], ends: NDArray[np.int64], width: int) -> Rows:
    """Put windows of 1 to `width` positions into rows, side by side with others of which equally many fit."""
    order = np.argsort(width // (ends - starts), kind="stable")
    lengths = (ends - starts)[order]
    fit = width // lengths
    number = np.arange(len(fit)) - np.searchsorted(fit, fit)  # among those of which equally many fit
    row = np.cumsum(number % fit == 0) - 1
    first = row * width + number % fit * (width // fit)
    positions = np.full((row.max(initial=-1) + 1, width), NOTHING, dtype=np.int64)
    positions.ravel()[_ranges(first, lengths)] = _ranges(starts[order], lengths)
    sizes = np.ones(len(positions), dtype=np.int64)
    sizes[row] = width // fit
    last = np.empty_like(order)
    last[order] = first + lengths - 1
    return Rows(positions, sizes, last)


@dataclass(frozen=True)
class SequenceTask:
    """Windows of sequences as examples: at each position the next item is to be told from others.

    sequences: without the held-out pairs. items: the split's table. n_negatives: items that an answer is told from, shared by
    a batch; all of them where the catalogue is no larger. far_share: of the answers, share that may stand anywhere ahead.
    id_dropout: share of a batch's items whose id is hidden. ordered: False where nothing is known of time, and every
    reading has its own order.
    """

    network: SequenceNetwork
    sequences: Sequences
    rows: Rows
    cut: Cut
    items: FieldTable
    negatives: Negatives
    n_negatives: int
    far_share: float
    id_dropout: float
    ordered: bool

    @property
    def n_examples(self) -> int:
        """The rows of windows."""
        return len(self.rows.positions)

    def loss(self, examples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Return the softmax of the next item among the negatives, mean over the batch's positions."""
        positions = self.rows.positions[examples]
        real = positions != NOTHING
        order = self.sequences.items if self.ordered else self.sequences.shuffled(np.unique(self.sequences.users[positions[real]]), rng)
        others, log_share = self._others(rng)
        inputs, answers = order[positions[real]], order[self._ahead(positions[real], rng)]
        # each item goes through the network once
        items, numbers = np.unique(np.concatenate([inputs, answers, others]), return_inverse=True)
        vectors = self.network.items(Inputs.of(forget(self.items.take(items), "item", self.id_dropout, rng)))
        of_inputs, of_answers, of_others = (torch.from_numpy(part) for part in np.split(numbers, [len(inputs), 2 * len(inputs)]))
        said = self.network(spread(F.embedding(of_inputs, vectors), real), torch.from_numpy(self.rows.sizes[examples]))
        return sampled_softmax(said[torch.from_numpy(real)], vectors, of_answers, of_others, log_share)

    def judge(self) -> float:
        """Return NDCG of each held-out item among all items that its user has not seen."""
        users, items = self.cut.held_out
        if not len(users):
            return float("nan")
        vectors = embed(self.network.items, self.items)
        windows = newest_windows(self.sequences, users, self.rows.positions.shape[1])
        asked = read(self.network, vectors, self.sequences.items, windows)
        gains = []
        for rows in row_blocks(len(users), len(vectors)):
            scores = asked[rows] @ vectors.T
            own = np.take_along_axis(scores, items[rows, None], axis=1)
            leave_out(scores, self.cut.matrix[users[rows]])
            gains.append(1 / np.log2(2 + (scores > own).sum(axis=1)))
        return float(np.concatenate(gains).mean())

    def _ahead(self, positions: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the positions of the answers: the next one, or for a share of them any later one in the user's sequence."""
        left = self.sequences.starts[self.sequences.users[positions] + 1] - 1 - positions
        far = rng.random(len(positions)) < self.far_share
        steps: NDArray[np.int64] = np.where(far, 1 + rng.random(len(positions)) * left, 1).astype(np.int64)
        return positions + steps

    def _others(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
        """Return items to tell the answers from, and the logarithm of how often each is expected among them."""
        known = np.flatnonzero(np.diff(self.negatives.upto, prepend=0))
        if len(known) <= self.n_negatives:
            return known, np.zeros(len(known), dtype=np.float32)
        items = self.negatives.draw(1, self.n_negatives, rng)[0]
        return items, self.negatives.log_q[items] + np.float32(np.log(self.n_negatives))


def sampled_softmax(said: Tensor, vectors: Tensor, answers: Tensor, others: Tensor, log_share: Floats) -> Tensor:
    """Return mean loss of the answers among others: a drawn one is weighted by its inverse sampling probability.

    said: (n, D). vectors: (m, D), which answers (n,) and others (k,) are numbers of. log_share: (k,), the logarithm of how
    often each of the others was to be expected.
    """
    own = (said * vectors[answers]).sum(dim=1)
    scores = torch.addmm(-torch.from_numpy(log_share), said, vectors[others].T)  # (n, k)
    scores = scores.masked_fill_(others[None, :] == answers[:, None], -torch.inf)
    return (torch.logaddexp(own, scores.logsumexp(dim=1)) - own).mean()


def read(network: SequenceNetwork, vectors: Floats, items: NDArray[np.int64], rows: Rows) -> Floats:
    """Read each window and return the network's output after its last position, float32 (n_windows, D).

    vectors: float32 (n_items, D). items: of the sequences, in their order or in another.
    """
    width = rows.positions.shape[1]
    order = np.argsort(rows.last, kind="stable")
    ends = np.searchsorted(rows.last[order], np.arange(len(rows.positions) + 1) * width)
    answers = np.empty((len(order), vectors.shape[1]), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, len(rows.positions), ROWS_AT_ONCE):
            positions = rows.positions[start : start + ROWS_AT_ONCE]
            real = positions != NOTHING
            inputs = spread(torch.from_numpy(vectors[items[positions[real]]]), real)
            said = network(inputs, torch.from_numpy(rows.sizes[start : start + len(positions)])).flatten(0, 1).numpy()
            windows = order[ends[start] : ends[start + len(positions)]]
            answers[windows] = said[rows.last[windows] - start * width]
    return answers


def spread(vectors: Tensor, real: NDArray[np.bool_]) -> Tensor:
    """Return vectors (n_real, D) at the positions (n, W) that are real, zero elsewhere -> (n, W, D)."""
    numbers = np.where(real, np.cumsum(real).reshape(real.shape), 0)
    return F.embedding(torch.from_numpy(numbers), F.pad(vectors, (0, 0, 1, 0)))


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return start, start + 1, ... for each start, in sequence."""
    firsts = np.cumsum(lengths) - lengths
    ranges: NDArray[np.int64] = np.repeat(starts - firsts, lengths) + np.arange(lengths.sum())
    return ranges
