"""Interleaved lists: round after round each retriever in turn places its next best items, as many as its quota.

The "mixed" hybrid of Burke 2002, Hybrid recommender systems: survey and experiments; taking turns as in the balanced
interleaving of Radlinski, Kurup and Joachims 2008, How does clickthrough data reflect retrieval quality?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, best_first
from hybridrec.strategies.weighted import by_retriever
from hybridrec.types import Longs

DOC = "Interleaved lists of the retrievers, each with a quota of places a round."
FREE = -1  # not placed yet


@dataclass(frozen=True)
class Config:
    """Options.

    quotas: positions per round, as "als=3,popularity=1"; a model that is not named has 1, a model with 0 takes no part.
    """

    quotas: str = ""


class Strategy:
    """See the module; within a round retrievers take turns in the order of their names."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def score(self, candidates: CandidateSet) -> Floats:
        """Return 1 / position, float32 (n_rows,); NaN for a row that no retriever with a quota retrieved."""
        seats = [Seat(_list_of(candidates, retriever), quota) for retriever, quota in self._quotas(candidates).items() if quota]
        turns = _draft(seats, len(candidates.items)) if seats else np.full(len(candidates.items), FREE)
        return (1 / np.where(turns == FREE, np.nan, turns + 1.0)).astype(np.float32)

    def _quotas(self, candidates: CandidateSet) -> dict[str, int]:
        quotas = by_retriever(self.config.quotas, candidates.retrievers, "[strategies.mixed] quotas")
        for retriever, quota in quotas.items():
            if quota != int(quota):
                raise PermanentError(f"[strategies.mixed] quotas: {retriever}={quota}, expected a whole number")
        return {retriever: int(quota) for retriever, quota in quotas.items()}


class Seat(NamedTuple):
    """A retriever at the table.

    rows: int64 (n_users, length), rows of the candidates, best first; the last column and what a list is short of hold n_rows.
    """

    rows: Longs
    quota: int


def _list_of(candidates: CandidateSet, retriever: str) -> Longs:
    """Return a retriever's candidates, as Seat.rows."""
    ranks = candidates.features[f"rank_{retriever}"]
    listed, positions = best_first(-ranks, candidates.items, candidates.starts)
    rows = np.full((len(candidates.users), positions.max(initial=0) + 1), len(ranks), dtype=np.int64)
    rows[np.searchsorted(candidates.users, candidates.row_users[listed]), positions - 1] = listed
    return rows


def _draft(seats: list[Seat], n_rows: int) -> Longs:
    """Return the turn, from 0, in which each row was placed, int64 (n_rows,), FREE without a turn; all users take turns at once."""
    turns = np.full(n_rows + 1, FREE)  # the last one stands for the end of a list and stays free
    heads = [np.zeros(len(seat.rows), dtype=np.int64) for seat in seats]
    order = [number for number, seat in enumerate(seats) for _ in range(seat.quota)]
    turn, left = 0, True
    while left:
        left = False
        for number in order:
            rows = _next_free(seats[number].rows, heads[number], turns)
            turns[rows] = turn
            turns[n_rows] = FREE
            turn, left = turn + 1, left or bool((rows < n_rows).any())
    return turns[:n_rows]


def _next_free(lists: Longs, heads: Longs, turns: Longs) -> Longs:
    """Return the first row of each user's list that is free, n_rows at its end, (n_users,); heads: where to look from, moved along."""
    users = np.arange(len(lists))
    while True:
        rows = lists[users, heads]
        taken = turns[rows] != FREE
        if not taken.any():
            return rows
        heads += taken
