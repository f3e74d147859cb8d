"""Orders: what a user bought at once, as the events say it or, where they do not, by visit or by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.storage import store
from hybridrec.types import Doubles, Ints

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import Column, DataFrame

    from hybridrec.runs.run import Run

TABLE = "model_orders"
DAY_SECONDS = 86_400.0


class Orders(NamedTuple):
    """Pairs of an order and an item before a cut, sorted by order and item.

    order: int64 (n,), dense numbers. user, item: int32 (n,). days: float64 (n,), days from buying the item to the cut.
    """

    order: NDArray[np.int64]
    user: Ints
    item: Ints
    days: Doubles

    @property
    def n_orders(self) -> int:
        """Number of orders."""
        return int(self.order[-1]) + 1 if len(self.order) else 0

    def take(self, rows: NDArray[np.bool_]) -> Orders:
        """Return some of the pairs; the orders get new numbers."""
        number = np.unique(self.order[rows], return_inverse=True)[1].astype(np.int64)
        return Orders(number, self.user[rows], self.item[rows], self.days[rows])


def orders(bought: DataFrame, calendar: bool) -> DataFrame:
    """Return model_orders. bought: events of one of BUYING with user_idx and item_idx; calendar: their days mean something.

    An event belongs to the order, else to the session, else to the day that it names, each of one user. A session that goes on for
    longer than a day, as one that a shop never ends, is an order for each day since its first purchase.
    """
    from pyspark.sql import functions as F

    tagged = [F.concat(F.lit(f"{name}:"), F.col(name)) for name in ("order_id", "session_id")]
    day = F.date_format("event_at", "'day':yyyy-MM-dd") if calendar else F.lit(None).cast("string")
    named = bought.withColumn("name", F.coalesce(*tagged, day)).where("name is not null")
    keyed = named.withColumn("order_key", F.xxhash64("user_idx", "name", _days_on() if calendar else F.lit(None).cast("bigint")))
    pieces = F.sum(F.round(F.coalesce(F.col("quantity").cast("double"), F.lit(1.0)) * 1_000).cast("bigint")) / 1_000
    return keyed.groupBy("order_key", "user_idx", "item_idx").agg(F.min("event_at").alias("bought_at"), pieces.alias("quantity"))


def _days_on() -> Column:
    """Return whole days since the first event of the session that stands for an order, null for none: the hash skips a null."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    first = F.min("event_at").over(Window.partitionBy("user_idx", "name"))
    days = F.floor((F.unix_micros("event_at") - F.unix_micros(first)) / F.lit(DAY_SECONDS * 1e6)).cast("bigint")
    return F.when(F.col("order_id").isNull() & (days > 0), days)


def has_orders(run: Run) -> bool:
    """Return whether anything is bought or put into a cart."""
    return store.is_committed(run.dataset(TABLE))


def read_orders(run: Run, cut: datetime, end: datetime | None = None, users: range | None = None) -> Orders:
    """Return what was bought before the cut or, with an end, from the cut to the end; empty without the table.

    An order that the cut divides is history with what was bought before it, and label with the rest. users: those read, None: all.
    """
    import pyarrow.dataset as ds

    if not has_orders(run):
        empty = np.zeros(0, np.int32)
        return Orders(empty.astype(np.int64), empty, empty, empty.astype(np.float64))
    at, user = ds.field("bought_at"), ds.field("user_idx")
    wanted = (at >= cut) & (at < end) if end else at < cut
    if users is not None:
        wanted &= (user >= users.start) & (user < users.stop)
    columns = ["order_key", "user_idx", "item_idx", "bought_at"]
    pairs = ds.dataset(run.files(TABLE), format="parquet", partitioning=None).to_table(columns=columns, filter=wanted)
    keys, of_user, items = (pairs[name].to_numpy() for name in columns[:3])
    rows = np.lexsort((items, keys))
    new = np.diff(keys[rows], prepend=keys[rows[:1]]) != 0
    days = (cut.timestamp() - pairs["bought_at"].cast("int64").to_numpy()[rows] / 1e6) / DAY_SECONDS
    return Orders(np.cumsum(new, dtype=np.int64), of_user[rows], items[rows], days)
