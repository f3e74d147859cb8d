"""Orders as Spark makes them: by order, else by visit, else by day, each of one user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hybridrec.dataset import interactions, orders
from hybridrec.tables import table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
KIND = "user_idx int, item_idx int, event_at timestamp, order_id string, session_id string, quantity float"


def made(spark: SparkSession, rows: Sequence[tuple[object, ...]], calendar: bool = True) -> dict[frozenset[tuple[int, int]], float]:
    """Return the pairs of user and item of each order, with the pieces in it."""
    frame = interactions.as_declared(orders.orders(spark.createDataFrame(list(rows), KIND), calendar), table(orders.TABLE)).toPandas()
    return {frozenset(zip(of.user_idx, of.item_idx, strict=True)): float(of.quantity.sum()) for _, of in frame.groupby("order_key")}


@pytest.mark.parametrize("calendar", [True, False])
def test_an_event_belongs_to_its_order_else_to_its_visit_else_to_its_day(spark: SparkSession, calendar: bool) -> None:
    later = AT + timedelta(days=1)
    rows = [
        (1, 10, AT, "a", "s", 2.0),
        (1, 11, later, "a", "t", None),  # the same order a day later
        (2, 10, AT, "a", None, 1.0),  # another user's order of the same id
        (1, 12, AT, None, "s", 1.0),  # a visit that is named like the order's, and is none of it
        (1, 13, AT, None, "s", 1.0),
        (3, 10, AT, None, None, 1.5),
        (3, 11, AT + timedelta(hours=2), None, None, 1.0),
        (3, 12, later, None, None, 1.0),
    ]
    by_name = {frozenset({(1, 10), (1, 11)}): 3.0, frozenset({(2, 10)}): 1.0, frozenset({(1, 12), (1, 13)}): 2.0}
    by_day = {frozenset({(3, 10), (3, 11)}): 2.5, frozenset({(3, 12)}): 1.0}
    assert made(spark, rows, calendar) == (by_name | by_day if calendar else by_name)


def test_an_item_that_is_named_twice_in_an_order_is_one_row(spark: SparkSession) -> None:
    rows = [(1, 10, AT, "a", None, 2.0), (1, 10, AT + timedelta(minutes=1), "a", None, 3.0)]
    assert made(spark, rows) == {frozenset({(1, 10)}): 5.0}


def test_each_item_keeps_its_own_time(spark: SparkSession) -> None:
    rows = [
        (1, 10, AT, None, None, 1.0),
        (1, 11, AT + timedelta(hours=8), None, None, 1.0),
        (1, 10, AT + timedelta(hours=9), None, None, 1.0),
    ]
    frame = interactions.as_declared(orders.orders(spark.createDataFrame(rows, KIND), True), table(orders.TABLE)).toPandas()
    assert frame.order_key.nunique() == 1
    times = dict(zip(frame.item_idx, frame.bought_at.dt.hour, strict=True))
    assert times == {10: 10, 11: 18}


def test_a_session_that_never_ends_is_an_order_a_day(spark: SparkSession) -> None:
    rows = [
        (1, item, AT + timedelta(hours=hours), None, "device 7", 1.0)
        for item, hours in ((10, 0), (11, 20), (10, 24 * 40), (12, 24 * 40 + 3))
    ]
    by_day = {frozenset({(1, 10), (1, 11)}): 2.0, frozenset({(1, 10), (1, 12)}): 2.0}
    assert made(spark, rows) == by_day
    assert len(made(spark, rows, calendar=False)) == 1, "without a calendar no days are known"
    named = [(1, item, AT + timedelta(days=days), "order 7", "device 7", 1.0) for item, days in ((10, 0), (11, 3))]
    assert made(spark, named) == {frozenset({(1, 10), (1, 11)}): 2.0}
