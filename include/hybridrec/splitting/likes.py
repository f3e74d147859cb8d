"""Decide which ratings are likes.

A low rating means that the user had the item and disliked it: no list of the user holds it again, nothing is learnt from it, and it adds
to no item's popularity. Earlier events of the user with the item no longer count either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.config import Config
from hybridrec.storage import store

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyspark.sql import Column, DataFrame
    from scipy.sparse import csr_array

    from hybridrec.runs.run import Run, Split
    from hybridrec.types import Ints

TABLE = "model_disliked"
RATING = "rating"
MAX_RATING, STEP = 10.0, 0.1  # of core_events
COVERED = 0.99  # of the ratings: a few wrong ones do not make a scale
MIDDLE = 0.5
MIN_DISLIKES = 3  # one or two users do not remove an item from all lists


def resolved(config: Config, files: Iterable[str]) -> Config:
    """Return the configuration with the threshold that the ratings themselves suggest, where it names none; files: of core_events."""
    return config if config.liked_from > 0 else replace(config, liked_from=middle_of_scale(files))


def middle_of_scale(files: Iterable[str]) -> float:
    """Return half of the rating that nearly none exceeds: 2.5 of 5 stars, 5 of 10, between the thumbs; 0 without ratings."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    counts = np.zeros(int(MAX_RATING / STEP) + 1, dtype=np.int64)
    given = (pc.field("event_type") == RATING) & pc.field("rating").is_valid()
    for batch in ds.dataset(list(files)).scanner(columns=["rating"], filter=given).to_batches():
        steps = np.rint(batch.column(0).to_numpy(zero_copy_only=False) / STEP).astype(np.int64)
        counts += np.bincount(np.clip(steps, 0, len(counts) - 1), minlength=len(counts))
    if not counts.sum():
        return 0.0
    top = int(np.searchsorted(np.cumsum(counts), COVERED * counts.sum()))
    return round(MIDDLE * top * STEP, 3)


def is_positive(config: Config) -> pc.Expression:
    """Return the rows of core_events that speak for an item, as Arrow's filter."""
    import pyarrow.compute as pc

    positive = pc.field("event_type").isin([name for name, weight in config.event_weights.items() if weight > 0])
    low = (pc.field("event_type") == RATING) & pc.field("rating").is_valid() & (pc.field("rating") < config.liked_from)
    return positive & ~low


def is_low(liked_from: float) -> Column:
    """Return whether a row of core_events is a rating below the threshold."""
    from pyspark.sql import functions as F

    return (F.col("event_type") == RATING) & F.coalesce(F.col("rating") < F.lit(liked_from), F.lit(False))


def mark_disliked(positive: DataFrame, low: DataFrame) -> DataFrame:
    """Return positive events with `disliked_stage`: the stage of the next low rating that their user gave their item, null without one.

    positive: user_idx, item_idx, event_at, ...; low: user_idx, item_idx, event_at, stage.
    """
    from pyspark.sql import functions as F

    entry = F.struct("event_at", "stage").alias("entry")
    by_pair = low.select("user_idx", "item_idx", entry).groupBy("user_idx", "item_idx").agg(F.collect_list("entry").alias("low"))
    later = F.filter("low", lambda rating: rating["event_at"] >= F.col("event_at"))
    stage = F.array_min(F.transform(later, lambda rating: rating["stage"]))
    return positive.join(by_pair, ["user_idx", "item_idx"], "left").withColumn("disliked_stage", stage).drop("low")


def disliked_pairs(low: DataFrame, positive: DataFrame, split: Split) -> DataFrame:
    """Return model_disliked of a split: pairs with a low rating before the cut that no other event of the history speaks for."""
    from hybridrec.splitting import held_out

    liked = held_out.history(positive, split).select("user_idx", "item_idx")
    return held_out.history(low, split).select("user_idx", "item_idx").distinct().join(liked, ["user_idx", "item_idx"], "left_anti")


def disliked(run: Run, split: str, users: Ints) -> csr_array:
    """Return items that some users (sorted) disliked before the split's cut: ones, csr float32 (n_users, n_items)."""
    return pairs_of_users(run, TABLE, split, users)


def pairs_of_users(run: Run, table: str, split: str, users: Ints) -> csr_array:
    """Return the pairs that a table has of some users (sorted): ones, csr float32 (n_users, n_items); none without the table."""
    from scipy.sparse import csr_array

    shape = (len(users), store.read_manifest(run.dataset("model_items")).rows)
    items, ends = np.zeros(0, np.int32), np.zeros(len(users), np.int32)
    if store.is_committed(run.dataset(table, split)) and len(users):
        pairs = _read_pairs(run, table, split, users)
        items = pairs["item_idx"].to_numpy()
        ends = np.searchsorted(pairs["user_idx"].to_numpy(), users, side="right").astype(np.int32)
    starts = np.concatenate([np.zeros(1, np.int32), ends])
    return csr_array((np.ones(len(items), np.float32), items, starts), shape=shape)


def _read_pairs(run: Run, table: str, split: str, users: Ints) -> pa.Table:
    import pyarrow as pa
    import pyarrow.dataset as ds

    number = ds.field("user_idx")
    wanted = (number >= int(users[0])) & (number <= int(users[-1])) & number.isin(pa.array(users, pa.int32()))
    data = ds.dataset(run.files(table, split), format="parquet", partitioning=None)
    pairs = data.to_table(columns=["user_idx", "item_idx"], filter=wanted)
    return pairs.sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])


def has_dislikes(run: Run, split: str) -> bool:
    """Return whether the run knows of any low rating."""
    return store.is_committed(run.dataset(TABLE, split))


def disliked_by_most(run: Run) -> NDArray[np.bool_]:
    """Return items that more users dislike than like, and not just one or two of them, bool (n_items,)."""
    import pyarrow.dataset as ds

    likes = np.zeros(store.read_manifest(run.dataset("model_items")).rows, dtype=np.int64)
    dislikes = np.zeros_like(likes)
    if not has_dislikes(run, "full"):
        return dislikes > 0
    for batch in ds.dataset(run.files(TABLE, "full"), format="parquet", partitioning=None).to_batches(columns=["item_idx"]):
        dislikes += np.bincount(batch["item_idx"].to_numpy(), minlength=len(dislikes))
    features = run.read("model_item_features", "full", ["item_idx", "item_n_users"])
    likes[features["item_idx"].to_numpy()] = features["item_n_users"].to_numpy()
    return np.asarray((dislikes >= MIN_DISLIKES) & (dislikes > likes))
