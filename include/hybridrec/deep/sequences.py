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

from hybridrec.deep.held_out import Cut
from hybridrec.deep.networks.attention import SequenceNetwork
from hybridrec.deep.sampling import Negatives
from hybridrec.models import Floats, Ints
from hybridrec.retrieval.select import leave_out, row_blocks, row_numbers

NOTHING = -1
ROWS_AT_ONCE = 128


class Sequences(NamedTuple):
    """The items of all users, oldest first, one user after the other.

    codes: int32 (n_pairs,), 0 for an item without a code. users: int64 (n_pairs,). starts: int64 (n_users + 1,).
    """

    codes: Ints
    users: NDArray[np.int64]
    starts: NDArray[np.int64]

    def shuffled(self, users: NDArray[np.int64], rng: np.random.Generator) -> Ints:
        """The codes with those of some different users in a new order."""
        lengths = self.starts[users + 1] - self.starts[users]
        places = _ranges(self.starts[users], lengths)
        order = np.lexsort((rng.random(len(places)), self.users[places]))
        codes = self.codes.copy()
        codes[np.sort(places)] = self.codes[places[order]]
        return codes


class Rows(NamedTuple):
    """Windows of sequences, as many a row as fit.

    places: int64 (n_rows, width), where in the sequences an input stands, NOTHING for padding. sizes: int64 (n_rows,), the
    room that each window of the row has. last: int64 (n_windows,), where each window ends, in places.ravel().
    """

    places: NDArray[np.int64]
    sizes: NDArray[np.int64]
    last: NDArray[np.int64]


def sequences(matrix: csr_array, days: NDArray[np.floating], codes: Ints, seed: int) -> Sequences:
    """Everybody's items by age; equally old ones in an order that has nothing to do with their numbers.

    days: age of each stored pair. codes: of the items.
    """
    users = row_numbers(matrix).astype(np.int64)
    tie = np.random.default_rng(seed).permutation(matrix.shape[1])[matrix.indices]
    order = np.lexsort((tie, -days, users))
    return Sequences(codes[matrix.indices[order]], users, matrix.indptr.astype(np.int64))


def windows_to_learn(found: Sequences, width: int) -> Rows:
    """Windows that cover all sequences from the newest end; each place's answer is the place behind it."""
    lengths = np.maximum(np.diff(found.starts) - 1, 0)  # the newest item is an answer only
    n_windows = -(-lengths // width)
    users = np.repeat(np.arange(len(lengths)), n_windows)
    back = _ranges(np.zeros_like(n_windows), n_windows)  # 0 is a user's newest window
    ends = found.starts[users] + lengths[users] - back * width
    return pack(np.maximum(ends - width, found.starts[users]), ends, width)


def newest_windows(found: Sequences, users: NDArray[np.int64], width: int) -> Rows:
    """The newest window of each of some users with a history."""
    ends = found.starts[users + 1]
    return pack(np.maximum(ends - width, found.starts[users]), ends, width)


def pack(starts: NDArray[np.int64], ends: NDArray[np.int64], width: int) -> Rows:
    """Put windows of 1 to `width` places into rows, side by side with others of which equally many fit."""
    order = np.argsort(width // (ends - starts), kind="stable")
    lengths = (ends - starts)[order]
    fit = width // lengths
    number = np.arange(len(fit)) - np.searchsorted(fit, fit)  # among those of which equally many fit
    row = np.cumsum(number % fit == 0) - 1
    first = row * width + number % fit * (width // fit)
    places = np.full((row.max(initial=-1) + 1, width), NOTHING, dtype=np.int64)
    places.ravel()[_ranges(first, lengths)] = _ranges(starts[order], lengths)
    sizes = np.ones(len(places), dtype=np.int64)
    sizes[row] = width // fit
    last = np.empty_like(order)
    last[order] = first + lengths - 1
    return Rows(places, sizes, last)


@dataclass(frozen=True)
class SequenceLesson:
    """Windows of sequences as examples: at each place the next item is to be told from others.

    sequences: without the held-out pairs. codes: of the items. n_negatives: items that an answer is told from, shared by a
    batch; all of them where the catalogue is no larger. ordered: False where nothing is known of time, and every reading
    has an order of its own.
    """

    network: SequenceNetwork
    sequences: Sequences
    rows: Rows
    cut: Cut
    codes: Ints
    negatives: Negatives
    n_negatives: int
    far_share: float
    ordered: bool

    @property
    def n_examples(self) -> int:
        """The rows of windows."""
        return len(self.rows.places)

    def loss(self, examples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Softmax of the next item among the negatives, mean over the batch's places."""
        places = self.rows.places[examples]
        real = places != NOTHING
        codes = self.sequences.codes
        if not self.ordered:
            codes = self.sequences.shuffled(np.unique(self.sequences.users[places[real]]), rng)
        answers = torch.from_numpy(codes[self._ahead(places[real], rng)].astype(np.int64))
        said = self.network(torch.from_numpy(np.where(real, codes[places], 0)), torch.from_numpy(self.rows.sizes[examples]))
        has_code = answers > 0
        return self._softmax(said[torch.from_numpy(real)][has_code], answers[has_code], rng)

    def judge(self) -> float:
        """NDCG of each held-out item among all items that its user has not seen."""
        users, items = self.cut.held_out
        if not len(users):
            return float("nan")
        asked = embed_users(self.network, self.sequences.codes, newest_windows(self.sequences, users, self.rows.places.shape[1]))
        vectors = embed_items(self.network, self.codes)
        gains = []
        for rows in row_blocks(len(users), len(vectors)):
            scores = asked[rows] @ vectors.T
            own = np.take_along_axis(scores, items[rows, None], axis=1)
            leave_out(scores, self.cut.matrix[users[rows]])
            gains.append(1 / np.log2(2 + (scores > own).sum(axis=1)))
        return float(np.concatenate(gains).mean())

    def _ahead(self, places: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Where the answers stand: behind the place, or, of a share of them, anywhere ahead in the user's sequence."""
        left = self.sequences.starts[self.sequences.users[places] + 1] - 1 - places
        far = rng.random(len(places)) < self.far_share
        steps: NDArray[np.int64] = np.where(far, 1 + rng.random(len(places)) * left, 1).astype(np.int64)
        return places + steps

    def _softmax(self, said: Tensor, answers: Tensor, rng: np.random.Generator) -> Tensor:
        """A drawn item stands for as many as it was unlikely; the answer, which is always there, for itself alone."""
        drawn, log_share = self._others(rng)
        vectors = self.network.items.weight
        own = (said * vectors[answers]).sum(dim=1, keepdim=True)
        others = said @ vectors[drawn].T - log_share  # (n, n_negatives)
        others = others.masked_fill(drawn[None, :] == answers[:, None], -torch.inf)
        return F.cross_entropy(torch.cat([own, others], dim=1), torch.zeros(len(said), dtype=torch.long))

    def _others(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Codes that are no answer, and the logarithm of how often each is expected among them."""
        n_codes = len(self.network.items.weight) - 1
        if n_codes <= self.n_negatives:
            return torch.arange(1, n_codes + 1), torch.zeros(n_codes)
        items = self.negatives.draw(1, self.n_negatives, rng)[0]
        items = items[self.codes[items] > 0]
        log_share = self.negatives.log_q[items] + np.float32(np.log(self.n_negatives))
        return torch.from_numpy(self.codes[items].astype(np.int64)), torch.from_numpy(log_share)


def embed_users(network: SequenceNetwork, codes: Ints, rows: Rows) -> Floats:
    """What the network says behind the last place of each window, float32 (n_windows, D)."""
    width = rows.places.shape[1]
    order = np.argsort(rows.last, kind="stable")
    ends = np.searchsorted(rows.last[order], np.arange(len(rows.places) + 1) * width)
    found = np.empty((len(order), network.last.normalized_shape[0]), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, len(rows.places), ROWS_AT_ONCE):
            places = rows.places[start : start + ROWS_AT_ONCE]
            inputs = np.where(places != NOTHING, codes[places], 0)
            said = network(torch.from_numpy(inputs), torch.from_numpy(rows.sizes[start : start + len(places)]))
            windows = order[ends[start] : ends[start + len(places)]]
            found[windows] = said.flatten(0, 1).numpy()[rows.last[windows] - start * width]
    return found


def embed_items(network: SequenceNetwork, codes: Ints) -> Floats:
    """The vectors of items with these codes, float32 (n_items, D)."""
    vectors: Floats = network.items.weight.detach().numpy()[codes]
    return vectors


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, ... for each start, one after the other."""
    firsts = np.cumsum(lengths) - lengths
    found: NDArray[np.int64] = np.repeat(starts - firsts, lengths) + np.arange(lengths.sum())
    return found
