"""Outcomes of a list: shown, clicked, rewarded, and when they may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hybridrec.base.config import Config
from hybridrec.feedback import outcomes as module
from hybridrec.feedback.figures import _of_events
from hybridrec.feedback.outcomes import outcomes
from hybridrec.tables import table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
OLD, YOUNG = AS_OF - timedelta(days=10), AS_OF - timedelta(days=3)
Happened = tuple[str, str, str, float]  # list, type, item, hours after it was served


def lists(spark: SparkSession, *rows: Mapping[str, object]) -> DataFrame:
    usual = {"served_at": OLD, "user_id": "u1", "surface": "recommendations", "version": "v", "item_ids": ["a", "b", "c", "d"]}
    definition = table("core_served")
    whole = [usual | {"altered": False, "k": 4} | dict(row) for row in rows]
    made = [tuple(row.get(name) for name in definition.column_names) for row in whole]
    return spark.createDataFrame(made, definition.spark_ddl())


def happened(spark: SparkSession, *rows: Happened, user_id: str = "u1", served_at: datetime = OLD) -> DataFrame:
    made = [(name, kind, item, user_id, served_at + timedelta(hours=hours)) for name, kind, item, hours in rows]
    return spark.createDataFrame(made, "recommendation_id string, event_type string, item_id string, user_id string, event_at timestamp")


def found(served: DataFrame, events: DataFrame, config: Config | None = None) -> dict[str, list[Any]]:
    """Return rows of model_feedback by list, in the order of positions."""
    by_list: dict[str, list[Any]] = {}
    for row in outcomes(served, events, config or Config(), AS_OF).orderBy("recommendation_id", "position").collect():
        by_list.setdefault(row["recommendation_id"], []).append(row)
    return by_list


def test_what_was_shown_follows_from_impressions_else_from_clicks_else_from_nothing(spark: SparkSession) -> None:
    served = lists(spark, *({"recommendation_id": name} for name in ("told", "clicked", "silent", "bought")))
    events = happened(
        spark,
        ("told", "impression", "a", 1),
        ("told", "impression", "a", 2),
        ("told", "click", "c", 1),
        ("clicked", "click", "c", 1),
        ("clicked", "click", "a", 1),
        ("bought", "purchase", "b", 5),
        ("bought", "click", "b", 1),
    )
    rows = found(served, events)
    assert {name: [row["shown"] for row in of] for name, of in rows.items()} == {
        "told": [True, False, True, False],
        "clicked": [True, True, True, False],
        "bought": [True, True, False, False],
        "silent": [False] * 4,
    }
    assert {name: {row["shown_by"] for row in of} for name, of in rows.items()} == {
        "told": {"impression"},
        "clicked": {"click"},
        "bought": {"click"},
        "silent": {None},
    }
    assert [row["clicked"] for row in rows["told"]] == [False, False, True, False]
    assert [row["reward"] for row in rows["bought"]] == [0.0, 1.0, 0.0, 0.0]
    assert [row["reward"] for row in rows["clicked"]] == [0.5, 0.0, 0.5, 0.0]


def test_a_list_whose_window_is_open_is_left_out(spark: SparkSession) -> None:
    served = lists(spark, {"recommendation_id": "old"}, {"recommendation_id": "young", "served_at": YOUNG})
    events = happened(spark, ("young", "impression", "a", 1), served_at=YOUNG)
    assert set(found(served, events)) == {"old"}
    assert set(found(served, events, replace(Config(), attribution_days=3.0))) == {"old", "young"}


def test_counting_immature_lists_would_show(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: a list that was served a moment ago counts as one without a click."""
    monkeypatch.setattr(module, "timedelta", lambda **_: timedelta(0))
    served = lists(spark, {"recommendation_id": "young", "served_at": YOUNG})
    with pytest.raises(AssertionError):
        assert found(served, happened(spark, ("young", "impression", "a", 1), served_at=YOUNG)) == {}


def test_an_event_counts_within_the_window_and_before_the_end_of_the_night(spark: SparkSession) -> None:
    served = lists(spark, {"recommendation_id": "r"})
    clicks = {"a": 7 * 24, "b": 7 * 24 + 1, "c": -1, "d": -0.05}
    events = happened(spark, *(("r", "click", item, hours) for item, hours in clicks.items()))
    assert [row["clicked"] for row in found(served, events)["r"]] == [True, False, False, True]


def test_events_of_another_user_and_of_other_items_do_not_count(spark: SparkSession) -> None:
    served = lists(spark, {"recommendation_id": "r"}, {"recommendation_id": "anybody", "user_id": ""})
    events = happened(spark, ("r", "click", "a", 1), ("anybody", "click", "a", 1), user_id="u2")
    events = events.unionByName(happened(spark, ("r", "click", "z", 1), ("r", "impression", "b", 1)))
    rows = found(served, events)
    assert [row["shown"] for row in rows["r"]] == [False, True, False, False]
    assert rows["anybody"][0]["clicked"]


def test_the_probability_is_that_of_the_arm_times_that_of_the_position(spark: SparkSession) -> None:
    slots = [1.0, 0.125, 1.0, 1.0]
    served = lists(
        spark,
        {"recommendation_id": "both", "arm": "x", "arm_probability": 0.25, "slot_probabilities": slots},
        {"recommendation_id": "arm", "arm": "x", "arm_probability": 0.25},
        {"recommendation_id": "slots", "slot_probabilities": slots},
        {"recommendation_id": "altered", "arm": "x", "arm_probability": 0.25, "altered": True},
        {"recommendation_id": "none"},
    )
    rows = found(served, happened(spark))
    assert {name: [row["probability"] for row in of] for name, of in rows.items()} == {
        "both": [0.25, 0.03125, 0.25, 0.25],
        "arm": [0.25] * 4,
        "slots": slots,
        "altered": [None] * 4,
        "none": [None] * 4,
    }


def test_a_cached_answer_and_orphan_clicks_are_counted(spark: SparkSession) -> None:
    served = lists(spark, {"recommendation_id": "own"}, {"recommendation_id": "cached"}, {"recommendation_id": "anybody", "user_id": ""})
    mine = happened(spark, ("own", "click", "a", 1), ("own", "impression", "a", 1), ("gone", "click", "a", 1), ("anybody", "click", "a", 1))
    assert _of_events(mine, served) == {"clicks": 3, "orphan_clicks": 1, "two_users": 0}
    others = happened(spark, ("cached", "impression", "a", 1), ("anybody", "impression", "b", 1), ("gone", "click", "b", 1), user_id="u2")
    assert _of_events(mine.unionByName(others), served) == {"clicks": 4, "orphan_clicks": 2, "two_users": 2}
