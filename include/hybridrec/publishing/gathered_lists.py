"""Gather published lists for their checks: one pass that counts broken rows and keeps the items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.retrieval.sparse import in_history
from hybridrec.runs.run import Run
from hybridrec.splitting.likes import disliked
from hybridrec.training.fits import user_block

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 5_000
NOTHING = -1  # pads lists; also an item that the run does not know


BROKEN = {
    "unknown_users": "rows of users whom the run does not know",
    "wrong_length": "lists that are longer than k, or shorter without a stated reason, or whose arrays differ in length",
    "unknown_items": "positions with an item that the run does not know",
    "seen_items": "positions with an item that the user has had",
    "unavailable_items": "positions with an item that is not available",
    "repeated_items": "positions whose item is in the same list already",
    "rising_scores": "positions whose score is above the one before, or is no number",
}


@dataclass
class Lists:
    """Figures from one pass over out_recommendations.

    items: int32 (n_users, longest list), item_idx or NOTHING. rows: how often each user occurs. broken: rows by kind of fault.
    """

    items: NDArray[np.int32]
    rows: NDArray[np.int32]
    n_fallback: int = 0
    broken: dict[str, int] = field(default_factory=dict)


def gather(run: Run, batches: Iterable[pa.RecordBatch], k: int) -> Lists:
    """Return one pass over the lists of all users, a batch at a time; memory holds one number per entry.

    batches: in the form of out_recommendations. k: length of a full list.
    """
    users = run.read("model_users").sort_by("user_idx")["user_id"].combine_chunks()
    items = run.read("model_items", columns=["item_idx", "item_id", "is_available"]).sort_by("item_idx")
    k_of_variant = variant_lengths(run)
    longest = max((k, *k_of_variant.values()))
    lists = Lists(np.full((len(users), longest), NOTHING, np.int32), np.zeros(len(users), np.int32), broken=dict.fromkeys(BROKEN, 0))
    for batch in batches:
        _gather_batch(run, lists, batch, users, items)
        lists.broken["wrong_length"] += _wrong_lengths(batch, _full_lengths(batch, k, k_of_variant))
    return lists


def variant_lengths(run: Run) -> dict[str, int]:
    """Return the length of a full list by experiment and variant, as "buttons/bold", of variants that have one of their own."""
    return {f"{one.name}/{variant.name}": variant.k for one in run.manifest.experiments for variant in one.variants if variant.k}


def _full_lengths(batch: pa.RecordBatch, k: int, k_of_variant: dict[str, int]) -> NDArray[np.int64]:
    """Return the length that each row's list has if nothing is missing."""
    import pyarrow.compute as pc

    lengths = np.full(batch.num_rows, k, dtype=np.int64)
    if k_of_variant:
        names = pc.binary_join_element_wise(batch["experiment"], batch["variant"], "/")
        for name, own in k_of_variant.items():
            lengths[pc.fill_null(pc.equal(names, name), False).to_numpy(zero_copy_only=False)] = own
    return lengths


def batches_of(run: Run, name: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table of the run in the order of its files."""
    import pyarrow.parquet as pq

    for path in run.files(name):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)


def index_of(values: pa.Array, known: pa.Array) -> NDArray[np.int64]:
    """Return the position of each value among the known ones, NOTHING where it is not."""
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.index_in(values, value_set=known), NOTHING).to_numpy(zero_copy_only=False), dtype=np.int64)


def _gather_batch(run: Run, lists: Lists, batch: pa.RecordBatch, users: pa.Array, items: pa.Table) -> None:
    import pyarrow.compute as pc

    user = index_of(batch.column("user_id"), users)
    known = user >= 0
    lengths = pc.list_value_length(batch.column("item_ids")).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(user)), lengths)
    position = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    item = index_of(batch.column("item_ids").flatten(), items["item_id"].combine_chunks())
    broken = lists.broken
    broken["unknown_users"] += int(np.count_nonzero(~known))
    broken["unknown_items"] += int(np.count_nonzero(item < 0))
    broken["repeated_items"] += len(row) - len(np.unique(np.stack([row, item]), axis=1).T)
    usable = (item >= 0) & known[row]
    broken["seen_items"] += _seen(run, user[row[usable]], item[usable])
    available = items["is_available"].to_numpy()
    broken["unavailable_items"] += int(np.count_nonzero(~available[item[usable]]))
    broken["rising_scores"] += _rising(batch.column("scores"))
    np.add.at(lists.rows, user[known], 1)
    lists.n_fallback += int(np.count_nonzero(batch.column("reason").to_numpy(zero_copy_only=False) == "fallback"))
    fits = usable & (position < lists.items.shape[1])
    lists.items[user[row[fits]], position[fits]] = item[fits]


def _wrong_lengths(batch: pa.RecordBatch, k: NDArray[np.int64]) -> int:
    import pyarrow.compute as pc

    lengths = pc.list_value_length(batch.column("item_ids")).to_numpy(zero_copy_only=False)
    stated = batch.column("shortfall").is_valid().to_numpy(zero_copy_only=False)
    wrong = (lengths > k) | ((lengths < k) != stated)
    for name in ("scores", "reasons", "sources"):
        wrong |= pc.list_value_length(batch.column(name)).to_numpy(zero_copy_only=False) != lengths
    return int(np.count_nonzero(wrong))


def _seen(run: Run, users: NDArray[np.int64], items: NDArray[np.int64]) -> int:
    block, row = np.unique(users, return_inverse=True)
    left_out = user_block(run, "full", block.astype(np.int32)).left_out
    had = in_history(left_out, row, items) | in_history(disliked(run, "full", block.astype(np.int32)), row, items)
    return int(np.count_nonzero(had))


def _rising(scores: pa.ListArray) -> int:
    """Count entries that break the falling order, a list's first one excepted, and entries without a number."""
    import pyarrow.compute as pc

    flat = scores.flatten().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(scores).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lengths)), lengths)
    rises = (flat[1:] > flat[:-1]) & (row[1:] == row[:-1])
    return int(np.count_nonzero(rises)) + int(np.count_nonzero(~np.isfinite(flat)))
