"""Judge the tables besides the lists on the holdout split: made from its history, against a simple baseline, with paired intervals.

buy_again        what users bought again, among all that they had bought; against their own faded frequency
bought_together  orders of the label window, half of each given; against the model item_knn
item_audiences   who bought an item in the label window; against the most active users
trending         events beyond expectation that came next, at points of the label window; against the popular items
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.config import SIDE_TABLES
from hybridrec.candidates.groups import starts_of
from hybridrec.dataset.orders import Orders, has_orders, read_orders
from hybridrec.evaluation.bootstrap import paired_difference
from hybridrec.metrics.metrics import METRICS, Judged, Labels, judge_items
from hybridrec.retrieval.item_item import ItemItemModel
from hybridrec.retrieval.recency import fade
from hybridrec.retrieval.select import Pairs, rank_pairs, row_numbers
from hybridrec.retrieval.sparse import in_history, top_k_sparse
from hybridrec.side_tables import audiences, baskets, buy_again, trending
from hybridrec.side_tables.blocks import user_blocks
from hybridrec.storage import store
from hybridrec.tables import table
from hybridrec.training.fits import config_of, histories, load_fit
from hybridrec.types import Doubles, Floats, Ints, Neighbours

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

SPLIT = "holdout"
OWN = "own_frequency"
MAX_ORDERS, MAX_ITEMS = 20_000, 20_000  # judged: more give no narrower an interval worth its time
Row = dict[str, Any]


def judge_tables(run: Run) -> pa.Table:
    """Return out_table_comparisons; without a calendar nothing is held out in time, and it is empty."""
    import pyarrow as pa

    judges = dict(zip(SIDE_TABLES, (_buy_again, _bought_together, _audiences, _trending), strict=True))
    made = [judges[name](run) for name in SIDE_TABLES if name in run.config.side_tables] if run.config.split == "time" else []
    return pa.Table.from_pylist(list(chain.from_iterable(made)), table("out_table_comparisons").arrow_schema())


class _Scored(NamedTuple):
    """Pairs that lists may hold of users with repeat purchases: both scores, float32, and whether the pair came again, bool (n,)."""

    user: Ints
    item: Ints
    ours: Floats
    own: Floats
    came: NDArray[np.bool_]


def _buy_again(run: Run) -> Iterator[Row]:
    n_items = store.read_manifest(run.dataset("model_items")).rows
    odds = buy_again.learnt_odds(run, SPLIT, n_items) if run.manifest.repeats else None
    if odds is None:
        return
    known = buy_again.habits_of(run, SPLIT, n_items)
    parts = [_scored(run, odds, known, users, n_items) for users in user_blocks(run, SPLIT)]
    pairs = _Scored(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    if not pairs.came.any():
        return
    judged_users = np.unique(pairs.user)
    user, item = pairs.user[pairs.came], pairs.item[pairs.came]
    labels = Labels(judged_users, starts_of(user), item, np.ones(len(item), np.float32))
    cells = Pairs(np.searchsorted(judged_users, pairs.user), pairs.item.astype(np.intp))
    lists = [rank_pairs(cells, score, len(judged_users), run.config.k).items for score in (pairs.ours, pairs.own)]
    yield from _compared(run, ("buy_again", OWN, "users with repeat purchases"), lists, labels, judged_users)


def _scored(run: Run, odds: buy_again.Odds, known: buy_again.Habits, users: range, n_items: int) -> _Scored:
    bought = buy_again.some_users(buy_again.bought_in(run, SPLIT, users, n_items), known.n_pairs)
    allowed = buy_again.may_come(run, SPLIT, bought, users, n_items)
    came = buy_again.is_among(bought.user, bought.item, buy_again.judged_pairs(run, SPLIT, users), n_items) & allowed
    kept = allowed & np.isin(bought.user, bought.user[came])
    ours, own = buy_again.likelihoods(odds, known, bought), _own_frequency(run, users, n_items, bought)
    return _Scored(bought.user[kept], bought.item[kept], ours[kept], own[kept], came[kept])


def _own_frequency(run: Run, users: range, n_items: int, bought: buy_again.Bought) -> Floats:
    """Return the score of the model own_frequency for each pair, 0 for one without."""
    matrix, days = histories(run, SPLIT, (len(users), n_items), users)
    faded = fade(matrix, days, config_of(OWN, run.config.options("models", OWN)).half_life_days)
    stored = row_numbers(faded) * n_items + faded.indices
    asked = (bought.user.astype(np.int64) - users.start) * n_items + bought.item
    if not len(stored):
        return np.zeros(len(asked), np.float32)
    at = np.minimum(np.searchsorted(stored, asked), len(stored) - 1)
    return np.where(stored[at] == asked, faded.data[at], np.float32(0))


def _bought_together(run: Run) -> Iterator[Row]:
    folder, window = run.dataset(f"models/{audiences.MODEL}", SPLIT), run.split(SPLIT)
    if not has_orders(run) or not store.is_committed(folder):
        return
    n_items = store.read_manifest(run.dataset("model_items")).rows
    model = load_fit(audiences.MODEL, store.committed_folder(folder))
    assert isinstance(model, ItemItemModel)
    past = (read_orders(run, window.cut, users=users) for users in user_blocks(run, SPLIT))
    nearness = baskets.together(past, n_items, run.settings.threads)
    given, rest = _halves(read_orders(run, window.cut, window.label_end), run.config.seed)
    if not given.n_orders or not nearness.nnz:
        return
    known = baskets.order_matrix(given, n_items)
    ours = _as_matrix(baskets.listed(nearness, np.ones(n_items, bool)), n_items)
    lists = [top_k_sparse(known, matrix, known, run.config.k).items for matrix in (ours, model.neighbours)]
    numbers, gains = np.arange(rest.n_orders, dtype=np.int32), np.ones(len(rest.item), np.float32)
    labels = Labels(numbers, starts_of(rest.order.astype(np.int32)), rest.item, gains)
    owners = rest.user[labels.starts[:-1]]
    yield from _compared(run, ("bought_together", audiences.MODEL, "users with orders, half of each given"), lists, labels, owners)


def _as_matrix(lists: Neighbours, n_items: int) -> csr_array:
    row, position = np.nonzero(lists.items >= 0)
    matrix = csr_array((lists.scores[row, position], (row, lists.items[row, position])), shape=(n_items, n_items))
    matrix.sort_indices()
    return matrix


def _halves(orders: Orders, seed: int) -> tuple[Orders, Orders]:
    """Return half of each order of at least two items, the smaller half, and the rest of it; the orders have the same numbers in both."""
    sizes = np.bincount(orders.order, minlength=orders.n_orders)
    several = np.flatnonzero((sizes > 1) & (sizes <= baskets.MAX_ITEMS))
    rng = np.random.default_rng(seed)
    if len(several) > MAX_ORDERS:
        several = np.sort(rng.choice(several, MAX_ORDERS, replace=False))
    judged = np.zeros(orders.n_orders, bool)
    judged[several] = True
    orders = orders.take(judged[orders.order])
    drawn = np.lexsort((rng.random(len(orders.order)), orders.order))
    position = np.arange(len(drawn)) - np.searchsorted(orders.order, orders.order)
    is_given = np.zeros(len(drawn), bool)
    is_given[drawn] = position < np.bincount(orders.order)[orders.order] // 2
    return orders.take(is_given), orders.take(~is_given)


def _audiences(run: Run) -> Iterator[Row]:
    near = audiences.nearness_of(run, SPLIT)
    if near is None:
        return
    wanted, n_users = _items_with_buyers(run), len(near.reached)
    lists, active = audiences.no_audiences(len(wanted)), audiences.no_audiences(len(wanted), np.float64)
    keys = [np.zeros(0, np.int64)]
    for users, some in zip(user_blocks(run, SPLIT), audiences.members(run, SPLIT, near), strict=True):
        audiences.add_best(lists, near, some, wanted, run.settings.threads)
        audiences.add_most_active(active, some, wanted)
        user, item = buy_again.judged_pairs(run, SPLIT, users)
        of_item = np.minimum(np.searchsorted(wanted, item), len(wanted) - 1)
        may = (wanted[of_item] == item) & (some.activity[user - users.start] > 0)
        may &= ~in_history(some.left_out, item, user - users.start)
        keys.append(of_item[may] * np.int64(n_users) + user[may])
    found = np.unique(np.concatenate(keys))
    if not len(found):
        return
    rows, buyers = (found // n_users).astype(np.int32), (found % n_users).astype(np.int32)
    starts = starts_of(rows)
    there = rows[starts[:-1]]
    labels = Labels(wanted[there], starts, buyers, np.ones(len(found), np.float32))
    about = ("item_audiences", "most_active_users", "items with buyers")
    yield from _compared(run, about, [lists.items[there], active.items[there]], labels, labels.users, audiences.LISTED)


def _items_with_buyers(run: Run) -> Ints:
    """Return the items, sorted, that somebody bought in the label window; MAX_ITEMS of them by chance if there are more."""
    items = np.zeros(0, np.int32)
    for users in user_blocks(run, SPLIT):
        items = np.union1d(items, buy_again.judged_pairs(run, SPLIT, users)[1])
    if len(items) > MAX_ITEMS:
        items = np.sort(np.random.default_rng(run.config.seed).choice(items, MAX_ITEMS, replace=False))
    return items


def _trending(run: Run) -> Iterator[Row]:
    judged = trending.judge_windows(*trending.of_run(run))
    if not len(judged.popular):
        return
    yield _row(run, ("trending", "popularity", "points of held-out time"), "rise@20", trending.chosen_elsewhere(judged), judged.popular)


def _compared(
    run: Run, about: tuple[str, str, str], lists: list[Ints], labels: Labels, owners: NDArray[np.integer], k: int | None = None
) -> Iterator[Row]:
    """Yield recall and NDCG of two sets of lists; rows of the same owner count as one, since they depend on each other."""
    k = k or run.config.k
    judged: list[Judged] = [judge_items(one, labels, run.settings.threads) for one in lists]
    owner = np.unique(owners, return_inverse=True)[1]
    for name in ("recall", "ndcg"):
        ours, theirs = (np.bincount(owner, METRICS[name](one, k)) / np.bincount(owner) for one in judged)
        yield _row(run, about, f"{name}@{k}", ours, theirs)


def _row(run: Run, about: tuple[str, str, str], metric: str, ours: Doubles, theirs: Doubles) -> Row:
    difference = paired_difference(ours, theirs, run.config.bootstrap_samples, run.config.seed)
    return {
        "name": about[0],
        "against": about[1],
        "metric": metric,
        "value": float(ours.mean()),
        "against_value": float(theirs.mean()),
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "n_judged": len(ours),
        "judged": about[2],
    }
