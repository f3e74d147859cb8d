"""Items that a user may buy again: everything bought before, by the likelihood of another purchase in the time to come.

The odds are a logistic regression over how often and how lately the user bought the item, whether it is due, and how the item goes with
everybody. It is fitted on the newest label window, so it knows how fast frequency fades in this shop. Own frequencies that fade are the
measure of Hu, He, Gao and Zhang, "Modeling personalized item frequency information for next-basket recommendation", SIGIR 2020.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.dataset.orders import has_orders, read_orders
from hybridrec.retrieval.select import Pairs, empty_lists, rank_pairs
from hybridrec.side_tables.rows import as_table
from hybridrec.splitting import likes, purposes, visits
from hybridrec.training.fits import days_before
from hybridrec.types import Doubles, Floats, Ints

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hybridrec.runs.run import Run

HALF_LIVES = (14.0, 30.0, 90.0, 365.0)  # days
FITTED_PAIRS = 1_000_000  # at most; a sample of the users if there are more
BLOCK_PAIRS = 500_000  # have their features at a time: some 50 MB
STEPS, RIDGE = 12, 1.0  # Newton's method on scaled features
SMALL = 1e-4
NEXT = {"ranker": "holdout", "holdout": "full"}  # the split whose history has a split's label window


class Choices(NamedTuple):
    """Choices of users before a cut, by visit: user, item: int32 (n,); days: float64 (n,), age at the cut; counts: float64 (n,)."""

    user: Ints
    item: Ints
    days: Doubles
    counts: Doubles


class Bought(NamedTuple):
    """Pairs that were chosen before a cut, sorted by user and item, and what their features are made of.

    user, item: int32 (n_pairs,). times, last, gap: float32 (n_pairs,), how often, days since, usual days between two times, those of the
    item for a pair with one. faded: float32 (n_pairs, n_half_lives), how often, faded. of_users: float32 (n_users,), times of all pairs.
    of_items: float32 (n_items, n), features of items.
    """

    user: Ints
    item: Ints
    times: Floats
    last: Floats
    gap: Floats
    faded: Floats
    of_users: Floats
    of_items: Floats

    def features(self, rows: slice | NDArray[np.bool_]) -> Doubles:
        """Return the features of some pairs, float64 (n_rows, n_features)."""
        times, last = self.times[rows].astype(np.float64), self.last[rows].astype(np.float64)
        of_pairs = [
            np.log(times),
            np.log1p(last),
            np.log1p(last / np.maximum(self.gap[rows], 1.0)),
            np.log(times / self.of_users[self.user[rows]]),
        ]
        return np.column_stack([*of_pairs, np.log(self.faded[rows] + SMALL), self.of_items[self.item[rows]]])


class Odds(NamedTuple):
    """A fitted regression: weights of the features as (value - mean) / spread, and of 1."""

    mean: Doubles
    spread: Doubles
    weights: Doubles

    def of(self, features: Doubles) -> Doubles:
        """Return the likelihood that each pair comes again within a label window, float64 (n_pairs,)."""
        return _likelihood((features - self.mean) / self.spread @ self.weights[1:] + self.weights[0])


def choices(run: Run, cut: datetime, split: str) -> Choices:
    """Return what was bought before a split's cut.

    If nothing is bought these are the oldest and the newest event of each pair of the history.
    """
    if has_orders(run):
        orders = read_orders(run, cut)
        return Choices(orders.user, orders.item, orders.days, np.ones(len(orders.days)))
    pairs = run.read("model_interactions", split, ["user_idx", "item_idx", "n_events", "first_event_at", "last_event_at"])
    n_events = pairs["n_events"].to_numpy().astype(np.float64)
    last, first = (days_before(pairs[name], cut) for name in ("last_event_at", "first_event_at"))
    several = n_events > 1
    user, item = (pairs[name].to_numpy() for name in ("user_idx", "item_idx"))
    return Choices(
        np.concatenate([user, user[several]]),
        np.concatenate([item, item[several]]),
        np.concatenate([last, first[several]]),
        np.concatenate([n_events - several, np.ones(int(several.sum()))]),
    )


def bought_before(chosen: Choices, n_items: int) -> Bought:
    """Return the pairs of choices."""
    keys, pair = np.unique(chosen.user.astype(np.int64) * n_items + chosen.item, return_inverse=True)
    user, item = (keys // n_items).astype(np.int32), (keys % n_items).astype(np.int32)
    times = np.bincount(pair, chosen.counts).astype(np.float32)
    last, first = np.full(len(keys), np.inf, np.float32), np.zeros(len(keys), np.float32)
    np.minimum.at(last, pair, chosen.days.astype(np.float32))
    np.maximum.at(first, pair, chosen.days.astype(np.float32))
    faded = np.empty((len(keys), len(HALF_LIVES)), np.float32)
    for column, half_life in enumerate(HALF_LIVES):
        faded[:, column] = np.bincount(pair, chosen.counts * 0.5 ** (chosen.days / half_life))
    again = first - last >= 1
    gap = np.where(again, (first - last) / np.maximum(times - 1, 1), np.float32(0))
    n_users, n_again = np.bincount(item, minlength=n_items), np.bincount(item[again], minlength=n_items)
    of_item = np.bincount(item[again], gap[again], n_items) / np.maximum(n_again, 1)
    usual = float(np.median(gap[again])) if again.any() else HALF_LIVES[1]
    gap = np.where(again, gap, np.where(n_again > 0, of_item, usual)[item]).astype(np.float32)
    popular = [np.log(np.bincount(item, faded[:, column], n_items) + 0.1) for column in range(3)]
    of_items = np.column_stack([np.log(np.maximum(n_users, 1)), n_again / np.maximum(n_users, 1), *popular]).astype(np.float32)
    return Bought(user, item, times, last, gap, faded, np.bincount(user, times).astype(np.float32), of_items)


def likelihoods(odds: Odds, bought: Bought) -> Floats:
    """Return the likelihood that each pair comes again, a block of pairs at a time, float32 (n_pairs,)."""
    scores: Floats = np.empty(len(bought.user), np.float32)
    for start in range(0, len(scores), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        scores[block] = odds.of(bought.features(block))
    return scores


def fit_odds(bought: Bought, came_again: NDArray[np.bool_]) -> Odds:
    """Fit the regression to which pairs came again, by Newton's method with a ridge."""
    features, labels = _some_users(bought, came_again)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    scaled = np.column_stack([np.ones(len(features)), (features - mean) / spread])
    weights = np.zeros(scaled.shape[1])
    for _ in range(STEPS):
        likely = _likelihood(scaled @ weights)
        curve = (scaled * (likely * (1 - likely))[:, None]).T @ scaled + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(curve, scaled.T @ (labels - likely) - RIDGE * weights)
    return Odds(mean, spread, weights)


def _likelihood(log_odds: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))))


def _some_users(bought: Bought, came_again: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    every = 1 + len(bought.user) // FITTED_PAIRS
    kept = bought.user % every == 0
    return bought.features(kept), came_again[kept].astype(np.float64)


def is_among(user: Ints, item: Ints, pairs: tuple[Ints, Ints], n_items: int) -> NDArray[np.bool_]:
    """Return whether each pair is one of `pairs`."""
    keys = user.astype(np.int64) * n_items + item
    return np.isin(keys, pairs[0].astype(np.int64) * n_items + pairs[1])


def may_come(run: Run, split: str, bought: Bought, n_items: int) -> NDArray[np.bool_]:
    """Return the pairs that a list may hold at the split's cut: not had, not disliked."""
    allowed = np.ones(len(bought.user), bool)
    everybody = np.arange(int(bought.user.max(initial=-1)) + 1, dtype=np.int32)
    for matrix in (purposes.had(run, split, everybody), likes.disliked(run, split, everybody)):
        if matrix is not None and matrix.nnz:
            rows = np.repeat(everybody, np.diff(matrix.indptr)).astype(np.int32)
            allowed &= ~is_among(bought.user, bought.item, (rows, matrix.indices), n_items)
    return allowed


def learnt_odds(run: Run, split: str, n_items: int) -> Odds | None:
    """Return the odds fitted on the label window before the split's cut; None where nothing came again in it."""
    before = next(name for name, after in NEXT.items() if after == split)
    window = run.split(before)
    assert window.label_end is not None
    bought = bought_before(choices(run, window.cut, before), n_items)
    came_again = is_among(bought.user, bought.item, fitted_pairs(run, before), n_items)
    return fit_odds(bought, came_again) if came_again.any() else None


def fitted_pairs(run: Run, split: str) -> tuple[Ints, Ints]:
    """Return users and items of what was bought, or chosen where nothing is bought, in a split's label window, of all users.

    Labels are of some users only, so what was chosen comes from the next split's history.
    """
    import pyarrow.compute as pc

    if has_orders(run):
        return judged_pairs(run, split)
    cut, after = run.split(split).cut, NEXT[split]
    if run.config.label_types and run.manifest.event_types:
        visited = run.read(visits.TABLE, after)
        rows = visited.filter((pc.field("event_at") >= cut) & pc.field("event_type").isin(purposes.label_types(run.config)))
    else:
        pairs = run.read("model_interactions", after, ["user_idx", "item_idx", "last_event_at"])
        rows = pairs.filter(pc.field("last_event_at") >= cut)
    return rows["user_idx"].to_numpy(), rows["item_idx"].to_numpy()


def judged_pairs(run: Run, split: str) -> tuple[Ints, Ints]:
    """Return users and items of what was bought in a split's label window; where nothing is bought, the labels of some users."""
    window = run.split(split)
    if has_orders(run):
        orders = read_orders(run, window.cut, window.label_end)
        return orders.user, orders.item
    labels = run.read("model_labels", split, ["user_idx", "item_idx"])
    return labels["user_idx"].to_numpy(), labels["item_idx"].to_numpy()


def buy_again(run: Run, items: pd.DataFrame, users: pa.Array, k: int) -> pa.Table:
    """Return out_buy_again; empty where lists hold no repeats. users: user_id by user_idx."""
    import pyarrow as pa

    ids = pa.array(items["item_id"], pa.string())
    odds = learnt_odds(run, "full", len(items)) if run.manifest.repeats else None
    if odds is None:
        return as_table("buy_again", users, ids, empty_lists(0, k))
    bought = bought_before(choices(run, run.split("full").cut, "full"), len(items))
    kept = may_come(run, "full", bought, len(items)) & items["is_available"].to_numpy(dtype=bool)[bought.item]
    scores = likelihoods(odds, bought)[kept]
    lists = rank_pairs(Pairs(bought.user[kept].astype(np.intp), bought.item[kept].astype(np.intp)), scores, len(users), k)
    return as_table("buy_again", users, ids, lists)
