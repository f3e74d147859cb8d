"""Users who should hear of an item: those whose history is nearest to it.

The model item_knn read the other way round: the sum of an item's nearness to all that a user chose, fading with its age, is the score
of the item for the user and of the user for the item. Active users come first of themselves, since their sums have more terms.
"""

from __future__ import annotations

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
from hybridrec.side_tables.rows import as_table
from hybridrec.splitting import likes, purposes
from hybridrec.storage import store
from hybridrec.training.fits import load_fit, training_data
from hybridrec.types import Ints, Neighbours

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


class Audiences(NamedTuple):
    """Input of audiences.

    nearness: csr (n_items, n_items), row j holds what having chosen each item adds for item j. choices: csr (n_items, n_users), faded,
    without the users who opted out. left_out: csr (n_items, n_users), who is in no audience of the item. activity: float64 (n_users,),
    -inf for who opted out.
    """

    nearness: csr_array
    choices: csr_array
    left_out: csr_array
    activity: NDArray[np.float64]


def gather(run: Run, split: str) -> Audiences | None:
    """Return the split's histories and its fit of MODEL; None without that model."""
    folder = run.dataset(f"models/{MODEL}", split)
    if not store.is_committed(folder):
        return None
    model = load_fit(MODEL, store.committed_folder(folder))
    assert isinstance(model, ItemItemModel)
    data = training_data(run, split, MODEL)
    faded = fade(pattern(data.matrix), data.last_event_day, HALF_LIFE_DAYS)
    reached = ~data.users["opted_out"].to_numpy(dtype=bool)
    choices = _cells(faded, reached[_rows(faded)])
    nearness = as_csr(model.neighbours.T)
    if run.manifest.repeats:
        nearness = as_csr(nearness + csr_array(_diagonal(ITSELF * _largest(nearness))))
    activity = np.where(reached, np.bincount(_rows(faded), data.matrix.data, faded.shape[0]), -np.inf)
    recent = data.last_event_day < RECENT_DAYS
    return Audiences(nearness, as_csr(choices.T), _left_out(run, split, data.matrix, recent), activity)


def best_users(audiences: Audiences, wanted: Ints, threads: int) -> Neighbours:
    """Return the LISTED best users of each wanted item; items in blocks, a row of sums over the users at a time."""
    lists = empty_lists(len(wanted), LISTED)

    def fill(at: int) -> None:
        block = wanted[at : at + BLOCK_ITEMS]
        found = top_k_sparse(as_csr(audiences.nearness[block]), audiences.choices, as_csr(audiences.left_out[block]), LISTED)
        lists.items[at : at + len(block)], lists.scores[at : at + len(block)] = found

    in_threads(fill, range(0, len(wanted), BLOCK_ITEMS), threads)
    return lists


def most_active(audiences: Audiences, wanted: Ints) -> Ints:
    """Return the LISTED most active users of each wanted item who may be in its audience, int32 (n, LISTED): what audiences must beat."""
    order = np.lexsort((np.arange(len(audiences.activity)), -audiences.activity)).astype(np.int32)
    order = order[audiences.activity[order] > 0]
    lists = empty_lists(len(wanted), LISTED).items
    for row, item in enumerate(wanted.tolist()):
        gone = audiences.left_out.indices[audiences.left_out.indptr[item] : audiences.left_out.indptr[item + 1]]
        first = order[: LISTED + len(gone)]
        first = first[~np.isin(first, gone)][:LISTED]
        lists[row, : len(first)] = first
    return lists


def item_audiences(audiences: Audiences, items: pd.DataFrame, users: pa.Array, threads: int) -> pa.Table:
    """Return out_item_audiences of the available items. users: user_id by user_idx."""
    import pyarrow as pa

    wanted = np.flatnonzero(items["is_available"].to_numpy(dtype=bool)).astype(np.int32)
    keys = pa.array(items["item_id"].to_numpy()[wanted], pa.string())
    return as_table("item_audiences", keys, users, best_users(audiences, wanted, threads))


def _left_out(run: Run, split: str, history: csr_array, recent: NDArray[np.bool_]) -> csr_array:
    """Return who is in no audience of each item: who has had it, dislikes it, or has bought it lately."""
    everybody = np.arange(history.shape[0], dtype=np.int32)
    had = purposes.had(run, split, everybody) if run.manifest.repeats else pattern(history)
    if has_orders(run):
        orders = read_orders(run, run.split(split).cut)
        late = orders.days < RECENT_DAYS
        bought = csr_array((np.ones(int(late.sum()), np.float32), (orders.user[late], orders.item[late])), shape=history.shape)
    else:
        bought = _cells(pattern(history), recent)
    unwanted = likes.disliked(run, split, everybody)
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
