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
from hybridrec.splitting import likes, purposes
from hybridrec.training.fits import days_before
from hybridrec.types import Doubles, Ints

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hybridrec.runs.run import Run

HALF_LIVES = (14.0, 30.0, 90.0, 365.0)  # days
FITTED_PAIRS = 1_000_000  # at most; a sample of the users if there are more
STEPS, RIDGE = 12, 1.0  # Newton's method on scaled features
SMALL = 1e-4


class Choices(NamedTuple):
    """Choices of users before a cut, by visit: user, item: int32 (n,); days: float64 (n,), age at the cut; counts: float64 (n,)."""

    user: Ints
    item: Ints
    days: Doubles
    counts: Doubles


class Bought(NamedTuple):
    """Pairs that were chosen before a cut, sorted by user and item, with their features, float64 (n_pairs, n_features)."""

    user: Ints
    item: Ints
    features: Doubles


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
    """Return the pairs with their features."""
    keys, pair = np.unique(chosen.user.astype(np.int64) * n_items + chosen.item, return_inverse=True)
    user, item = (keys // n_items).astype(np.int32), (keys % n_items).astype(np.int32)
    n = np.bincount(pair, chosen.counts)
    last, first = np.full(len(keys), np.inf), np.zeros(len(keys))
    np.minimum.at(last, pair, chosen.days)
    np.maximum.at(first, pair, chosen.days)
    faded = [np.bincount(pair, chosen.counts * 0.5 ** (chosen.days / half_life)) for half_life in HALF_LIVES]
    again = first - last >= 1
    gap = np.where(again, (first - last) / np.maximum(n - 1, 1), 0.0)
    n_users, n_again = np.bincount(item, minlength=n_items), np.bincount(item[again], minlength=n_items)
    of_item = np.bincount(item[again], gap[again], n_items) / np.maximum(n_again, 1)
    usual = np.where(again, gap, np.where(n_again[item] > 0, of_item[item], np.median(gap[again]) if again.any() else HALF_LIVES[1]))
    columns = [
        np.log(n),
        np.log1p(last),
        *(np.log(values + SMALL) for values in faded),
        np.log1p(last / np.maximum(usual, 1.0)),
        np.log(n / np.bincount(user, n)[user]),
        np.log(n_users[item]),
        (n_again / np.maximum(n_users, 1))[item],
        *(np.log(np.bincount(item, values, n_items)[item] + 0.1) for values in faded[:3]),
    ]
    return Bought(user, item, np.stack(columns, axis=1))


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
    return bought.features[kept], came_again[kept].astype(np.float64)


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
    before: str = {"full": "holdout", "holdout": "ranker"}[split]
    window = run.split(before)
    assert window.label_end is not None
    bought = bought_before(choices(run, window.cut, before), n_items)
    came_again = is_among(bought.user, bought.item, window_pairs(run, before), n_items)
    return fit_odds(bought, came_again) if came_again.any() else None


def window_pairs(run: Run, split: str) -> tuple[Ints, Ints]:
    """Return users and items of what was bought, or chosen where nothing is bought, in a split's label window."""
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
    scores = odds.of(bought.features[kept]).astype(np.float32)
    lists = rank_pairs(Pairs(bought.user[kept].astype(np.intp), bought.item[kept].astype(np.intp)), scores, len(users), k)
    return as_table("buy_again", users, ids, lists)
