"""Items that a user may buy again: everything bought before, by the likelihood of another purchase in the time to come.

The odds are a logistic regression over how often and how lately the user bought the item, whether it is due, and how the item goes with
everybody. It is fitted on the newest label window, so it knows how fast frequency fades in this shop. Own frequencies that fade are the
measure of Hu, He, Gao and Zhang, "Modeling personalized item frequency information for next-basket recommendation", SIGIR 2020.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.dataset.orders import has_orders, read_orders
from hybridrec.retrieval.select import Pairs, rank_pairs
from hybridrec.side_tables.blocks import user_blocks
from hybridrec.side_tables.rows import in_batches
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
    """Pairs that some users chose before a cut, sorted by user and item.

    user, item: int32 (n_pairs,). times, last: float32 (n_pairs,), how often, days since. of_user: float32 (n_pairs,), times of all pairs of
    the user. gap: float32 (n_pairs,), usual days between two times, 0 unless `again`: bool (n_pairs,), chosen on several days.
    faded: float32 (n_pairs, n_half_lives), how often, faded.
    """

    user: Ints
    item: Ints
    times: Floats
    last: Floats
    of_user: Floats
    gap: Floats
    again: NDArray[np.bool_]
    faded: Floats

    def take(self, rows: slice | NDArray[np.bool_]) -> Bought:
        """Return some of the pairs."""
        user, item, times, last, of_user, gap, again, faded = self
        return Bought(user[rows], item[rows], times[rows], last[rows], of_user[rows], gap[rows], again[rows], faded[rows])


class Habits(NamedTuple):
    """Facts about items, from the pairs of all users.

    n_pairs: of all users. gaps: float32 (n_items,), usual days between two times, for a pair without any of its own.
    features: float32 (n_items, n).
    """

    n_pairs: int
    gaps: Floats
    features: Floats

    def of_pairs(self, bought: Bought) -> Doubles:
        """Return the features of pairs, float64 (n_pairs, n_features)."""
        times, last = bought.times.astype(np.float64), bought.last.astype(np.float64)
        gap = np.where(bought.again, bought.gap, self.gaps[bought.item])
        of_pairs = [np.log(times), np.log1p(last), np.log1p(last / np.maximum(gap, 1.0)), np.log(times / bought.of_user)]
        return np.column_stack([*of_pairs, np.log(bought.faded + SMALL), self.features[bought.item]])


class Odds(NamedTuple):
    """A fitted regression: weights of the features as (value - mean) / spread, and of 1."""

    mean: Doubles
    spread: Doubles
    weights: Doubles

    def of(self, features: Doubles) -> Doubles:
        """Return the likelihood that each pair comes again within a label window, float64 (n_pairs,)."""
        return _likelihood((features - self.mean) / self.spread @ self.weights[1:] + self.weights[0])


def choices(run: Run, split: str, users: range) -> Choices:
    """Return what some users bought before a split's cut.

    If nothing is bought these are the oldest and the newest event of each pair of the history.
    """
    cut = run.split(split).cut
    if has_orders(run):
        orders = read_orders(run, cut, users=users)
        return Choices(orders.user, orders.item, orders.days, np.ones(len(orders.days)))
    pairs = run.read("model_interactions", split, ["user_idx", "item_idx", "n_events", "first_event_at", "last_event_at"], users)
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
    number = user - user[:1]  # from the first user on
    of_user = np.bincount(number, times).astype(np.float32)[number]
    return Bought(user, item, times, last, of_user, gap, again, faded)


def habits(parts: Iterable[Bought], n_items: int) -> Habits:
    """Return what pairs say of items; parts: of all users, some users at a time."""
    n_users, n_again, n_pairs = np.zeros(n_items, np.int64), np.zeros(n_items, np.int64), 0
    gaps, faded, of_several = np.zeros(n_items), np.zeros((3, n_items)), [np.zeros(0, np.float32)]
    for part in parts:
        again = part.item[part.again]
        of_several.append(part.gap[part.again])
        n_pairs += len(part.item)
        n_users += np.bincount(part.item, minlength=n_items)
        n_again += np.bincount(again, minlength=n_items)
        gaps += np.bincount(again, of_several[-1], n_items)
        faded += [np.bincount(part.item, part.faded[:, column], n_items) for column in range(len(faded))]
    known = np.concatenate(of_several)
    usual = float(np.median(known)) if len(known) else HALF_LIVES[1]
    mean = np.where(n_again > 0, gaps / np.maximum(n_again, 1), usual).astype(np.float32)
    of_items = [np.log(np.maximum(n_users, 1)), n_again / np.maximum(n_users, 1), *np.log(faded + 0.1)]
    return Habits(n_pairs, mean, np.column_stack(of_items).astype(np.float32))


def bought_in(run: Run, split: str, users: range, n_items: int) -> Bought:
    """Return the pairs that some users chose before a split's cut."""
    return bought_before(choices(run, split, users), n_items)


def habits_of(run: Run, split: str, n_items: int) -> Habits:
    """Return what the history of a split says of items, of all users, a block of them at a time."""
    return habits((bought_in(run, split, users, n_items) for users in user_blocks(run, split)), n_items)


def likelihoods(odds: Odds, known: Habits, bought: Bought) -> Floats:
    """Return the likelihood that each pair comes again, a block of pairs at a time, float32 (n_pairs,)."""
    scores: Floats = np.empty(len(bought.user), np.float32)
    for start in range(0, len(scores), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        scores[block] = odds.of(known.of_pairs(bought.take(block)))
    return scores


def fit_odds(features: Doubles, came_again: NDArray[np.bool_]) -> Odds:
    """Fit the regression to which pairs came again, by Newton's method with a ridge."""
    labels = came_again.astype(np.float64)
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


def some_users(bought: Bought, n_pairs: int) -> Bought:
    """Return the pairs of a sample of users, so many that about FITTED_PAIRS of n_pairs are theirs; all if there are no more."""
    every = 1 + n_pairs // FITTED_PAIRS
    return bought if every == 1 else bought.take(bought.user % every == 0)


def is_among(user: Ints, item: Ints, pairs: tuple[Ints, Ints], n_items: int) -> NDArray[np.bool_]:
    """Return whether each pair is one of `pairs`."""
    keys = user.astype(np.int64) * n_items + item
    return np.isin(keys, pairs[0].astype(np.int64) * n_items + pairs[1])


def may_come(run: Run, split: str, bought: Bought, users: range, n_items: int) -> NDArray[np.bool_]:
    """Return which pairs of some users a list may hold at the split's cut: not had, not disliked."""
    allowed = np.ones(len(bought.user), bool)
    everybody = np.arange(users.start, users.stop, dtype=np.int32)
    for matrix in (purposes.had(run, split, everybody), likes.disliked(run, split, everybody)):
        if matrix is not None and matrix.nnz:
            rows = np.repeat(everybody, np.diff(matrix.indptr))
            allowed &= ~is_among(bought.user, bought.item, (rows, matrix.indices), n_items)
    return allowed


def learnt_odds(run: Run, split: str, n_items: int) -> Odds | None:
    """Return the odds fitted on the label window before the split's cut; None where nothing came again in it."""
    before = next(name for name, after in NEXT.items() if after == split)
    known = habits_of(run, before, n_items)
    features, came_again = [], []
    for users in user_blocks(run, before):
        bought = some_users(bought_in(run, before, users, n_items), known.n_pairs)
        features.append(known.of_pairs(bought))
        came_again.append(is_among(bought.user, bought.item, fitted_pairs(run, before, users), n_items))
    labels = np.concatenate(came_again)
    return fit_odds(np.concatenate(features), labels) if labels.any() else None


def fitted_pairs(run: Run, split: str, users: range) -> tuple[Ints, Ints]:
    """Return users and items of what some users bought, or chose where nothing is bought, in a split's label window.

    Labels are of a sample of users only, so the next split's history says who chose again.
    """
    import pyarrow.compute as pc

    if has_orders(run):
        return judged_pairs(run, split, users)
    cut, after = run.split(split).cut, NEXT[split]
    if run.config.label_types and run.manifest.event_types:
        visited = run.read(visits.TABLE, after, users=users)
        rows = visited.filter((pc.field("event_at") >= cut) & pc.field("event_type").isin(purposes.label_types(run.config)))
    else:
        pairs = run.read("model_interactions", after, ["user_idx", "item_idx", "last_event_at"], users)
        rows = pairs.filter(pc.field("last_event_at") >= cut)
    return rows["user_idx"].to_numpy(), rows["item_idx"].to_numpy()


def judged_pairs(run: Run, split: str, users: range) -> tuple[Ints, Ints]:
    """Return users and items of what some users bought in a split's label window; where nothing is bought, the labels among them."""
    window = run.split(split)
    if has_orders(run):
        orders = read_orders(run, window.cut, window.label_end, users)
        return orders.user, orders.item
    labels = run.read("model_labels", split, ["user_idx", "item_idx"], users)
    return labels["user_idx"].to_numpy(), labels["item_idx"].to_numpy()


def buy_again(run: Run, items: pd.DataFrame, users: pa.Array, k: int) -> Iterator[pa.Table]:
    """Yield out_buy_again in batches; none where lists hold no repeats. users: user_id by user_idx."""
    import pyarrow as pa

    n_items, ids = len(items), pa.array(items["item_id"], pa.large_string())
    odds = learnt_odds(run, "full", n_items) if run.manifest.repeats else None
    if odds is None:
        return
    known, available = habits_of(run, "full", n_items), items["is_available"].to_numpy(dtype=bool)
    for block in user_blocks(run, "full"):
        bought = bought_in(run, "full", block, n_items)
        kept = may_come(run, "full", bought, block, n_items) & available[bought.item]
        pairs = Pairs(bought.user[kept].astype(np.intp) - block.start, bought.item[kept].astype(np.intp))
        lists = rank_pairs(pairs, likelihoods(odds, known, bought)[kept], len(block), k)
        yield from in_batches("buy_again", users[block.start : block.stop], ids, lists)
