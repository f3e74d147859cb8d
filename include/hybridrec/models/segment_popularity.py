"""Rank items by their popularity within the user's groups, pulled towards the overall popularity.

Demographic recommendation as in Pazzani, "A framework for collaborative, content-based and demographic filtering", AI Review
1999: groups by age, gender, occupation and region. A group's share of each item is estimated with `prior_users` users more who
choose like the average user, so a small group hardly differs; a user gets the mean over the groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.retrieval.select import contenders, empty_lists, leave_out, rank_pairs, row_blocks
from hybridrec.retrieval.sparse import as_csr, empty_csr, load_csr, save_csr
from hybridrec.types import Floats, Ints, Log, Neighbours, SearchSpace, TrainingData, UserBlock

if TYPE_CHECKING:
    import pandas as pd

DOC = "Number of users of the same age, gender, occupation and region who chose the item."
BECAUSE = "many people like you chose it"
REQUIRED = False
SEARCH: SearchSpace = {"prior_users": Log(5, 500)}
ATTRIBUTES = ("gender", "occupation", "region")


@dataclass(frozen=True)
class Config:
    """Options.

    prior_users: users with the average taste that are added to each group.
    age_band: years of one age group.
    min_users: smallest group that is used.
    max_cells: largest number of groups times items; a fit takes 4 bytes for each.
    """

    prior_users: float = 50.0
    age_band: int = 10
    min_users: int = 10
    max_cells: int = 250_000_000


class Model:
    """Shares of the items by group, and each user's groups; users without a group are in the group of all users."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.shares: Floats = np.zeros((0, 0), dtype=np.float32)  # (n_groups, n_items); the first group is everybody
        self.groups = empty_csr()  # (n_users, n_groups), rows sum to 1

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Count each group's choices."""
        members = _members(data.users, self.config)  # (n_users, n_groups)
        chosen = csr_array((np.ones(data.matrix.nnz), data.matrix.indices, data.matrix.indptr), shape=data.matrix.shape)
        active = (np.diff(data.matrix.indptr) > 0).astype(np.float64)
        everybody = np.asarray(chosen.sum(axis=0)) / max(active.sum(), 1.0)
        self._refuse_what_it_cannot_hold(members.shape[1], chosen.shape[1])
        counts, sizes = (members.T @ chosen).tocsr(), np.asarray(members.T @ active)
        prior = self.config.prior_users
        self.shares = np.empty((1 + len(sizes), len(everybody)), dtype=np.float32)
        self.shares[0] = everybody
        for group, size in enumerate(sizes):  # one by one, for in double precision all of them take three times as much
            self.shares[1 + group] = (counts[[group]].toarray()[0] + prior * everybody) / (size + prior)
        self.groups = _with_everybody(members)
        return {"groups": float(members.shape[1])}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k unseen items of the largest share, also for users without history."""
        lists = empty_lists(len(users.user_idx), k)
        for rows, scores in self._blocks(users):
            leave_out(scores, users.history[rows])
            pairs = contenders(scores, k)
            best = rank_pairs(pairs, scores[pairs], len(scores), k)
            lists.items[rows], lists.scores[rows] = best.items, best.scores
        return lists

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return the item's share among people like the user."""
        pair_scores = np.empty(len(rows), dtype=np.float32)
        for block, scores in self._blocks(users):
            asked = np.flatnonzero((rows >= block.start) & (rows < block.stop))
            pair_scores[asked] = scores[rows[asked] - block.start, items[asked]]
        return pair_scores

    def save(self, folder: Path) -> None:
        """Write the groups' shares and the users' groups."""
        np.save(folder / "shares.npy", self.shares, allow_pickle=False)
        save_csr(self.groups, folder, "groups")

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """Return the saved arrays, mapped."""
        model = cls(config)
        model.shares = np.load(folder / "shares.npy", mmap_mode="r", allow_pickle=False)
        model.groups = load_csr(folder, "groups")
        return model

    def _refuse_what_it_cannot_hold(self, n_groups: int, n_items: int) -> None:
        needed, limit = (4 * cells / 1e9 for cells in (n_groups * n_items, self.config.max_cells))
        if needed > limit:
            raise PermanentError(
                f"models.segment_popularity: the shares of {n_items:,} items in {n_groups:,} groups take {needed:.1f} GB; the limit is "
                f"{limit:.1f} GB. Set [models.segment_popularity] min_users higher, so that fewer groups count, or max_cells on a machine "
                "that holds them, or skip the model: HYBRIDREC_SKIP=models.segment_popularity"
            )

    def _blocks(self, users: UserBlock) -> Iterator[tuple[slice, Floats]]:
        groups = self.groups[users.user_idx]
        for rows in row_blocks(len(users.user_idx), self.shares.shape[1]):
            yield rows, np.asarray(groups[rows] @ self.shares, dtype=np.float32)  # (n_rows, n_items)


def _members(users: pd.DataFrame, config: Config) -> csr_array:
    """Assign users to groups that are large enough, csr of ones (n_users, n_groups)."""
    import pandas as pd

    columns = [users[name].astype("string") for name in ATTRIBUTES if name in users]
    if "age_years" in users:
        columns.append((users["age_years"].astype("Float64") // config.age_band).astype("string"))
    columns = [column.where(column.map(column.value_counts()).fillna(0) >= config.min_users) for column in columns]
    rows, groups, n_groups = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)], 0
    for column in columns:
        codes, names = pd.factorize(column, sort=True)
        rows.append(np.flatnonzero(codes >= 0))
        groups.append(codes[codes >= 0] + n_groups)
        n_groups += len(names)
    member, group = np.concatenate(rows), np.concatenate(groups)
    return as_csr(csr_array((np.ones(len(member), np.float32), (member, group)), shape=(len(users), n_groups)))


def _with_everybody(members: csr_array) -> csr_array:
    """Return the groups behind a first column that holds those who are in none; rows sum to 1."""
    from scipy.sparse import diags_array, hstack

    n_groups = np.diff(members.indptr)
    in_none = as_csr((n_groups == 0).astype(np.float32)[:, None])
    return as_csr(hstack([in_none, diags_array(1 / np.maximum(n_groups, 1)) @ members], format="csr"))
