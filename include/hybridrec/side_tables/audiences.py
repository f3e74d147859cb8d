"""Users who should hear of an item: those whose history is nearest to it.

The model item_knn read the other way round: the sum of an item's nearness to all that a user chose, fading with its age, is the score
of the item for the user and of the user for the item. Active users come first of themselves, since their sums have more terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.threads import in_threads
from hybridrec.dataset.orders import has_orders, read_orders
from hybridrec.retrieval.item_item import ItemItemModel
from hybridrec.retrieval.recency import fade
from hybridrec.retrieval.select import empty_lists
from hybridrec.retrieval.sparse import as_csr, one_hot, pattern, top_k_sparse
from hybridrec.side_tables.blocks import user_blocks
from hybridrec.side_tables.rows import in_batches
from hybridrec.splitting import likes, purposes
from hybridrec.storage import store
from hybridrec.training.fits import histories, load_fit
from hybridrec.types import NO_ITEM, Doubles, Ints, Neighbours

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hybridrec.runs.run import Run

MODEL = "item_knn"
LISTED = 50  # users of an item
RECENT_DAYS = 30.0  # who has bought the item since then need not hear of it
HALF_LIFE_DAYS = 180.0
ITSELF = 5.0  # what having chosen an item adds for the item itself, in units of its nearest other; where people choose again
BLOCK_ITEMS = 1_024


class Nearness(NamedTuple):
    """Nearness of items, and users who may hear of them.

    items: csr (n_items, n_items), row j holds what having chosen each item adds for item j. reached: bool (n_users,), False for users
    who opted out.
    """

    items: csr_array
    reached: NDArray[np.bool_]


class Members(NamedTuple):
    """Some users who may be in audiences, by their number from `first` on.

    choices: csr (n_items, n_users), faded, without the users who opted out. left_out: csr (n_items, n_users), who is in no audience of the
    item. activity: float64 (n_users,), -inf for who opted out.
    """

    first: int
    choices: csr_array
    left_out: csr_array
    activity: Doubles


def nearness_of(run: Run, split: str) -> Nearness | None:
    """Return what the split's fit of MODEL says; None without that model."""
    folder = run.dataset(f"models/{MODEL}", split)
    if not store.is_committed(folder):
        return None
    model = load_fit(MODEL, store.committed_folder(folder))
    assert isinstance(model, ItemItemModel)
    nearness = as_csr(model.neighbours.T)
    if run.manifest.repeats:
        nearness = as_csr(nearness + csr_array(_diagonal(ITSELF * _largest(nearness))))
    opted_out = run.read("model_users", columns=["user_idx", "opted_out"]).sort_by("user_idx")["opted_out"]
    return Nearness(nearness, ~opted_out.to_numpy())


def members(run: Run, split: str, near: Nearness) -> Iterator[Members]:
    """Yield all users with their histories before the split's cut, a block at a time."""
    for users in user_blocks(run, split):
        matrix, days = histories(run, split, (len(users), near.items.shape[0]), users)
        reached, row = near.reached[users.start : users.stop], _rows(matrix)
        faded = fade(pattern(matrix), days, HALF_LIFE_DAYS)
        activity = np.where(reached, np.bincount(row, matrix.data, len(users)), -np.inf)
        left_out = _left_out(run, split, users, pattern(matrix), days < RECENT_DAYS)
        yield Members(users.start, as_csr(_cells(faded, reached[row]).T), left_out, activity)


def add_best(lists: Neighbours, near: Nearness, some: Members, wanted: Ints, threads: int) -> None:
    """Put the best of some users into the lists of the wanted items, which hold the best of those before; items in blocks."""

    def fill(at: int) -> None:
        block = wanted[at : at + BLOCK_ITEMS]
        found = top_k_sparse(as_csr(near.items[block]), some.choices, as_csr(some.left_out[block]), LISTED)
        _add(lists, slice(at, at + len(block)), found, some.first)

    in_threads(fill, range(0, len(wanted), BLOCK_ITEMS), threads)


def add_most_active(lists: Neighbours, some: Members, wanted: Ints) -> None:
    """Put the most active of some users who may be in an item's audience into the lists of the wanted items: what audiences must beat."""
    order = np.lexsort((np.arange(len(some.activity)), -some.activity)).astype(np.int32)
    order = order[some.activity[order] > 0]
    found = no_audiences(len(wanted), np.float64)
    for row, item in enumerate(wanted.tolist()):
        gone = some.left_out.indices[some.left_out.indptr[item] : some.left_out.indptr[item + 1]]
        first = order[: LISTED + len(gone)]
        first = first[~np.isin(first, gone)][:LISTED]
        found.items[row, : len(first)], found.scores[row, : len(first)] = first, some.activity[first]
    _add(lists, slice(None), found, some.first)


def no_audiences(n_items: int, kind: type[np.floating] = np.float32) -> Neighbours:
    """Return empty lists of users; kind: of the scores."""
    lists = empty_lists(n_items, LISTED)
    return Neighbours(lists.items, lists.scores.astype(kind))


def item_audiences(run: Run, items: pd.DataFrame, users: pa.Array) -> Iterator[pa.Table]:
    """Yield out_item_audiences of the available items in batches; none without MODEL. users: user_id by user_idx."""
    import pyarrow as pa

    near = nearness_of(run, "full")
    if near is None:
        return
    wanted = np.flatnonzero(items["is_available"].to_numpy(dtype=bool)).astype(np.int32)
    lists = no_audiences(len(wanted))
    for some in members(run, "full", near):
        add_best(lists, near, some, wanted, run.settings.threads)
    yield from in_batches("item_audiences", pa.array(items["item_id"].to_numpy()[wanted], pa.large_string()), users, lists)


def _add(lists: Neighbours, rows: slice, found: Neighbours, first: int) -> None:
    """Keep the best of some rows of lists and of others; these hold numbers from `first` on, larger than those in the lists."""
    if not first:  # the lists are still empty
        lists.items[rows], lists.scores[rows] = found
        return
    numbers = np.where(found.items == NO_ITEM, NO_ITEM, found.items + np.int32(first))
    both = np.hstack([lists.items[rows], numbers]), np.hstack([lists.scores[rows], found.scores])
    order = np.argsort(-both[1], axis=1, kind="stable")[:, : lists.items.shape[1]]  # of equals the lower number is first, as it was
    lists.items[rows], lists.scores[rows] = (np.take_along_axis(column, order, axis=1) for column in both)


def _left_out(run: Run, split: str, users: range, history: csr_array, recent: NDArray[np.bool_]) -> csr_array:
    """Return who is in no audience of each item: who has had it, dislikes it, or has bought it lately; csr (n_items, n_users).

    history: of the users, ones. recent: whether each of its cells is.
    """
    numbers = np.arange(users.start, users.stop, dtype=np.int32)
    had = purposes.had(run, split, numbers) if run.manifest.repeats else history
    if has_orders(run):
        orders = read_orders(run, run.split(split).cut, users=users)
        late = orders.days < RECENT_DAYS
        cells = orders.user[late] - users.start, orders.item[late]
        bought = csr_array((np.ones(int(late.sum()), np.float32), cells), shape=history.shape)
    else:
        bought = _cells(history, recent)
    unwanted = likes.disliked(run, split, numbers)
    return as_csr((bought + unwanted if had is None else bought + unwanted + had).T)


def _cells(matrix: csr_array, kept: NDArray[np.bool_]) -> csr_array:
    """Return the matrix with some of its stored cells only."""
    sizes = np.bincount(_rows(matrix)[kept], minlength=matrix.shape[0])
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(matrix.indptr.dtype)
    return csr_array((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)


def _rows(matrix: csr_array) -> NDArray[np.intp]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _largest(matrix: csr_array) -> NDArray[np.float32]:
    largest = np.zeros(matrix.shape[0], np.float32)
    np.maximum.at(largest, _rows(matrix), matrix.data)
    return largest


def _diagonal(values: NDArray[np.float32]) -> csr_array:
    diagonal = one_hot(np.arange(len(values), dtype=np.int32), len(values))
    return csr_array((values.astype(np.float32), diagonal.indices, diagonal.indptr), shape=diagonal.shape)
