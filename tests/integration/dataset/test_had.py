"""Each type of events with each purpose: what a user has had, and what is a label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hybridrec.base.config import FOR_EVER, POSITIVE_TYPES, Config
from hybridrec.dataset import interactions
from hybridrec.runs.run import Split
from hybridrec.splitting import purposes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CUT = datetime(2026, 3, 1, tzinfo=UTC)
SPLIT = Split("holdout", CUT, CUT + timedelta(days=10))
ITEMS = "item_idx int, categories array<string>, is_consumable boolean"
EVENTS = "user_idx int, item_idx int, event_type string, event_at timestamp, weight double, position int, stage int"


def events(spark: SparkSession, *rows: tuple[int, str, float]) -> DataFrame:
    """Return events of user 0. rows: item, type, days before the cut; below 0 in the label window."""
    made = [(0, item, kind, CUT - timedelta(days=days), 1.0, None, 1 if days > 0 else 2) for item, kind, days in rows]
    return spark.createDataFrame(made, EVENTS)


def had_items(
    spark: SparkSession, frame: DataFrame, config: Config, consumables: tuple[int, ...] = (), milk: tuple[int, ...] = ()
) -> set[int]:
    items = [(n, ["Milk"] if n in milk else [], n in consumables) for n in range(10)]
    had = purposes.had_pairs(frame, spark.createDataFrame(items, ITEMS), SPLIT, config)
    return {row["item_idx"] for row in had.collect()}


@pytest.mark.parametrize("kind", POSITIVE_TYPES)
def test_a_type_makes_an_item_had_for_its_days(kind: str, spark: SparkSession) -> None:
    frame = events(spark, (1, kind, 5), (2, kind, 40))
    days = dict.fromkeys(POSITIVE_TYPES, 0.0)
    assert had_items(spark, frame, Config(had_days=days)) == set()
    assert had_items(spark, frame, Config(had_days=days | {kind: 30.0})) == {1}
    assert had_items(spark, frame, Config(had_days=days | {kind: FOR_EVER})) == {1, 2}


@pytest.mark.parametrize("kind", POSITIVE_TYPES)
def test_what_was_not_had_is_a_label_when_chosen_again(kind: str, spark: SparkSession) -> None:
    frame = events(spark, (1, kind, 5), (1, "purchase", -1), (2, "purchase", -1))
    for days, expected in ((0.0, {1, 2}), (FOR_EVER, {2})):
        config = Config(had_days=dict.fromkeys(POSITIVE_TYPES, 0.0) | {kind: days})
        items = spark.createDataFrame([(n, [], False) for n in range(3)], ITEMS)
        had = purposes.had_pairs(frame, items, SPLIT, config)
        found = interactions.labels(frame, SPLIT, config, 1, had=had)
        assert {row["item_idx"] for row in found.collect()} == expected


@pytest.mark.parametrize("kind", POSITIVE_TYPES)
def test_only_some_types_are_labels(kind: str, spark: SparkSession) -> None:
    frame = events(spark, *((n, name, -1) for n, name in enumerate(POSITIVE_TYPES)))
    found = interactions.labels(frame, SPLIT, Config(label_types=[kind]), 1)
    assert {row["item_idx"] for row in found.collect()} == {POSITIVE_TYPES.index(kind)}


def test_the_newest_event_decides_and_the_label_window_does_not(spark: SparkSession) -> None:
    frame = events(spark, (1, "purchase", 90), (1, "purchase", 3), (2, "purchase", 90), (2, "purchase", -1))
    assert had_items(spark, frame, Config(had_days={"purchase": 30.0})) == {1}


def test_consumables_are_never_had(spark: SparkSession) -> None:
    frame = events(spark, (1, "purchase", 3), (2, "purchase", 3), (3, "purchase", 3))
    config = Config(had_days={"purchase": FOR_EVER}, consumable_categories=["Milk"])
    assert had_items(spark, frame, config, consumables=(1,), milk=(2,)) == {3}
