"""The labels of a split with the candidates of the labelled users, and how long each one's history is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet, Ints, load_candidates
from hybridrec.candidates.groups import starts_of
from hybridrec.metrics.metrics import Labels
from hybridrec.splitting.mix import segments_of, served_users, user_weights
from hybridrec.types import Doubles

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

MAX_CELLS = 200_000_000  # rows x columns of a candidate set at a time: 800 MB, and enough users for narrow intervals
OTHER_COLUMNS = 40  # features of user, item and pair beside the models' own columns


class LabelledCandidates(NamedTuple):
    """A candidate set with the labels of its users; a user of the labels need not be among the candidates."""

    candidates: CandidateSet
    labels: Labels


def load_labels(run: Run, split: str) -> Labels:
    """Return the labels of the ranker or holdout split."""
    table = run.read("model_labels", split, ["user_idx", "item_idx", "gain"])
    table = table.sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    users = table["user_idx"].to_numpy().astype(np.int32)
    starts = starts_of(users)
    return Labels(users[starts[:-1]], starts, table["item_idx"].to_numpy(), table["gain"].to_numpy())


def labels_of(labels: Labels, users: Ints) -> Labels:
    """Return the labels of some of the users."""
    kept = np.isin(labels.users, users)
    rows = np.repeat(kept, np.diff(labels.starts))
    sizes = np.diff(labels.starts)[kept]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Labels(labels.users[kept], starts, labels.items[rows], labels.gains[rows])


def history_lengths(run: Run, split: str, users: Ints) -> Ints:
    """Return items in each user's history before the split's cut, 0 without history; int32 (n_users,)."""
    table = run.read("model_user_features", split, ["user_idx", "user_n_items"])
    known, lengths = table["user_idx"].to_numpy(), table["user_n_items"].to_numpy()
    lengths_by_user = np.zeros(max(int(users.max(initial=-1)), int(known.max(initial=-1))) + 1, dtype=np.int32)
    lengths_by_user[known] = lengths
    return lengths_by_user[users]


def labelled_candidates(run: Run, split: str, max_rows: int | None = None) -> LabelledCandidates:
    """Return the candidates and labels of the ranker or holdout split; with too many rows, users are sampled by the run's seed.

    max_rows: None for as many as MAX_CELLS allows with these candidates' columns.

    Users with labels stay in the labels when no retriever retrieved anything for them.
    """
    labels = load_labels(run, split)
    row_users = run.read("model_candidates", split, ["user_idx"])["user_idx"].to_numpy()
    drawn = np.random.default_rng(run.config.seed).permutation(labels.users)
    sizes = np.bincount(row_users, minlength=int(labels.users.max()) + 1)[drawn]
    n = max(1, int((np.cumsum(sizes) <= (max_rows or _max_rows(run, split))).sum()))
    users = np.sort(drawn[:n])
    candidates = load_candidates(run, split, users)
    return LabelledCandidates(replace(candidates, weights=_weights(run, candidates)), labels_of(labels, users))


def _weights(run: Run, candidates: CandidateSet) -> Doubles | None:
    """Return how much each user of the candidates counts, so that together they stand for the users who are served."""
    return user_weights(segments_of(candidates.n_history, run.config.light_max_items), served_users(run))


def _max_rows(run: Run, split: str) -> int:
    import pyarrow.parquet as pq

    stored: list[str] = pq.read_schema(run.files("model_candidates", split)[0]).names
    n_normalised = sum(name.startswith("score_") for name in stored)
    return MAX_CELLS // (len(stored) + n_normalised + OTHER_COLUMNS)


def sample_users(labels: Labels, n_users: int, seed: int) -> Ints:
    """Draw n_users users with labels by seed, sorted; int32."""
    return np.sort(np.random.default_rng(seed).permutation(labels.users)[:n_users])
