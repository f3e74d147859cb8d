"""Orders: what a user bought at once, as the events say it or, where they do not, by visit or by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.storage import store
from hybridrec.types import Doubles, Floats, Ints

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame

    from hybridrec.runs.run import Run

TABLE = "model_orders"
DAY_SECONDS = 86_400.0


class Orders(NamedTuple):
    """Pairs of an order and an item before a cut, sorted by order and item.

    order: int64 (n,), dense numbers. user, item: int32 (n,). days: float64 (n,), age of the order at the cut.
    """

    order: NDArray[np.int64]
    user: Ints
    item: Ints
    days: Doubles
    quantity: Floats

    @property
    def n_orders(self) -> int:
        """Number of orders."""
        return int(self.order[-1]) + 1 if len(self.order) else 0

    def take(self, rows: NDArray[np.bool_]) -> Orders:
        """Return some of the pairs; the orders get new numbers."""
        number = np.unique(self.order[rows], return_inverse=True)[1].astype(np.int64)
        return Orders(number, self.user[rows], self.item[rows], self.days[rows], self.quantity[rows])


def orders(bought: DataFrame, calendar: bool) -> DataFrame:
    """Return model_orders. bought: events of one of BUYING with user_idx and item_idx; calendar: their days mean something.

    An event belongs to the order, else to the session, else to the day that it names, each of one user.
    """
    from pyspark.sql import functions as F

    tagged = [F.concat(F.lit(f"{name}:"), F.col(name)) for name in ("order_id", "session_id")]
    day = F.date_format("event_at", "'day':yyyy-MM-dd") if calendar else F.lit(None).cast("string")
    keyed = bought.withColumn("order_key", F.xxhash64("user_idx", F.coalesce(*tagged, day))).where(F.coalesce(*tagged, day).isNotNull())
    pieces = F.sum(F.round(F.coalesce(F.col("quantity").cast("double"), F.lit(1.0)) * 1_000).cast("bigint")) / 1_000
    in_order = keyed.groupBy("order_key", "user_idx", "item_idx").agg(F.min("event_at").alias("at"), pieces.alias("quantity"))
    at = in_order.groupBy("order_key").agg(F.min("at").alias("ordered_at"))
    return in_order.join(at, "order_key").drop("at")


def has_orders(run: Run) -> bool:
    """Return whether anything is bought or put into a cart."""
    return store.is_committed(run.dataset(TABLE))


def read_orders(run: Run, cut: datetime, end: datetime | None = None) -> Orders:
    """Return the orders before the cut or, with an end, those from the cut to the end; empty without the table."""
    import pyarrow.dataset as ds

    if not has_orders(run):
        empty = np.zeros(0, np.int32)
        return Orders(empty.astype(np.int64), empty, empty, empty.astype(np.float64), empty.astype(np.float32))
    at = ds.field("ordered_at")
    wanted = (at >= cut) & (at < end) if end else at < cut
    pairs = ds.dataset(run.files(TABLE), format="parquet", partitioning=None).to_table(filter=wanted)
    pairs = pairs.sort_by([("order_key", "ascending"), ("item_idx", "ascending")])
    number = np.unique(pairs["order_key"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    days = (cut.timestamp() - pairs["ordered_at"].cast("int64").to_numpy() / 1e6) / DAY_SECONDS
    user, item = (pairs[name].to_numpy() for name in ("user_idx", "item_idx"))
    return Orders(number, user, item, days, pairs["quantity"].to_numpy())
