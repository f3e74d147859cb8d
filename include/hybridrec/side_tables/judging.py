"""Judge the tables besides the lists on the holdout split: made from its history, against a simple baseline, with paired intervals.

buy_again        what users bought again, among all that they had bought; against their own faded frequency
bought_together  orders of the label window, half of each given; against the model item_knn
item_audiences   who bought an item in the label window; against the most active users
trending         events beyond expectation that came next, at points of the label window; against the popular items
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.candidates.groups import starts_of
from hybridrec.dataset.orders import Orders, has_orders, read_orders
from hybridrec.evaluation.bootstrap import paired_difference
from hybridrec.metrics.metrics import METRICS, Judged, Labels, judge_items
from hybridrec.retrieval.item_item import ItemItemModel
from hybridrec.retrieval.recency import fade
from hybridrec.retrieval.select import Pairs, rank_pairs
from hybridrec.retrieval.sparse import top_k_sparse
from hybridrec.side_tables import audiences, baskets, buy_again, trending
from hybridrec.storage import store
from hybridrec.tables import table
from hybridrec.training.fits import config_of, load_fit, training_data
from hybridrec.types import Doubles, Ints, Neighbours

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run

SPLIT = "holdout"
OWN = "own_frequency"
MAX_ORDERS = 20_000  # judged: more give no narrower an interval worth its time
Row = dict[str, Any]


def judge_tables(run: Run) -> pa.Table:
    """Return out_table_comparisons; without a calendar nothing is held out in time, and it is empty."""
    import pyarrow as pa

    rows = [*_buy_again(run), *_bought_together(run), *_audiences(run), *_trending(run)] if run.config.split == "time" else []
    return pa.Table.from_pylist(rows, table("out_table_comparisons").arrow_schema())


def _buy_again(run: Run) -> Iterator[Row]:
    n_items = store.read_manifest(run.dataset("model_items")).rows
    odds = buy_again.learnt_odds(run, SPLIT, n_items) if run.manifest.repeats else None
    if odds is None:
        return
    bought = buy_again.bought_before(buy_again.choices(run, run.split(SPLIT).cut, SPLIT), n_items)
    allowed = buy_again.may_come(run, SPLIT, bought, n_items)
    came = buy_again.is_among(bought.user, bought.item, buy_again.judged_pairs(run, SPLIT), n_items) & allowed
    if not came.any():
        return
    judged_users, rows = np.unique(bought.user[came], return_inverse=True)
    labels = Labels(judged_users, starts_of(bought.user[came]), bought.item[came], np.ones(len(rows), np.float32))
    of_users = allowed & np.isin(bought.user, judged_users)
    row, item = np.searchsorted(judged_users, bought.user[of_users]), bought.item[of_users].astype(np.intp)
    own = _own_frequency(run, n_items, bought)[of_users]
    lists = [
        rank_pairs(Pairs(row, item), score.astype(np.float32), len(judged_users), run.config.k).items
        for score in (buy_again.likelihoods(odds, bought)[of_users], own)
    ]
    yield from _compared(run, ("buy_again", OWN, "users with repeat purchases"), lists, labels, judged_users)


def _own_frequency(run: Run, n_items: int, bought: buy_again.Bought) -> Doubles:
    """Return the score of the model own_frequency for each pair, 0 for one without."""
    data = training_data(run, SPLIT)
    options = config_of(OWN, run.config.options("models", OWN))
    faded = fade(data.matrix, data.last_event_day, options.half_life_days)
    stored = np.repeat(np.arange(faded.shape[0], dtype=np.int64), np.diff(faded.indptr)) * n_items + faded.indices
    asked = bought.user.astype(np.int64) * n_items + bought.item
    at = np.minimum(np.searchsorted(stored, asked), max(len(stored) - 1, 0))
    return np.where(stored[at] == asked, faded.data[at], 0.0)


def _bought_together(run: Run) -> Iterator[Row]:
    folder, window = run.dataset(f"models/{audiences.MODEL}", SPLIT), run.split(SPLIT)
    if not has_orders(run) or not store.is_committed(folder):
        return
    n_items = store.read_manifest(run.dataset("model_items")).rows
    model = load_fit(audiences.MODEL, store.committed_folder(folder))
    assert isinstance(model, ItemItemModel)
    nearness = baskets.together(read_orders(run, window.cut), n_items, run.settings.threads)
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
    orders = orders.take(np.isin(orders.order, several))
    drawn = np.lexsort((rng.random(len(orders.order)), orders.order))
    position = np.arange(len(drawn)) - np.searchsorted(orders.order, orders.order)
    is_given = np.zeros(len(drawn), bool)
    is_given[drawn] = position < np.bincount(orders.order)[orders.order] // 2
    return orders.take(is_given), orders.take(~is_given)


def _audiences(run: Run) -> Iterator[Row]:
    made = audiences.gather(run, SPLIT)
    if made is None:
        return
    user, item = buy_again.judged_pairs(run, SPLIT)
    n_users = len(made.activity)
    keys = np.unique(item.astype(np.int64) * n_users + user)
    left_out = np.repeat(np.arange(made.left_out.shape[0]), np.diff(made.left_out.indptr)) * np.int64(n_users) + made.left_out.indices
    keys = keys[(made.activity[keys % n_users] > 0) & ~np.isin(keys, left_out)]
    if not len(keys):
        return
    items, buyers = (keys // n_users).astype(np.int32), (keys % n_users).astype(np.int32)
    starts = starts_of(items)
    labels = Labels(items[starts[:-1]], starts, buyers, np.ones(len(keys), np.float32))
    lists = [audiences.best_users(made, labels.users, run.settings.threads).items, audiences.most_active(made, labels.users)]
    about = ("item_audiences", "most_active_users", "items with buyers")
    yield from _compared(run, about, lists, labels, labels.users, audiences.LISTED)


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
