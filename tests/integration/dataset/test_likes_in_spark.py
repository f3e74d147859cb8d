"""Low ratings take likes back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hybridrec.runs.run import Split
from hybridrec.splitting import held_out, likes

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_low_rating_takes_back_what_came_before_it_once_it_is_known(spark: SparkSession) -> None:
    """Stages 0, 1 and 2 are history, label of the ranker split, label of the holdout split."""
    rows = [
        (1, 1, 0, 0),  # bought, then rated low in stage 0: never counted
        (1, 2, 0, 0),  # bought, then rated low in stage 1: history of the ranker split alone
        (1, 3, 9, 1),  # rated low, then bought again: liked after all
        (1, 4, 0, 2),  # no rating
        (2, 1, 0, 1),  # another user's
    ]
    low = [(1, 1, 5, 0), (1, 2, 5, 1), (1, 3, 5, 0)]
    schema = "user_idx int, item_idx int, hour int, stage int"
    at = "timestamp_seconds(hour * 3600) as event_at"
    positive, rated = (spark.createDataFrame(part, schema).selectExpr("user_idx", "item_idx", at, "stage") for part in (rows, low))
    marked = likes.mark_disliked(positive, rated).persist()
    splits = {name: Split(name, START, START) for name in ("ranker", "holdout", "full")}

    def pairs(frame: object) -> list[tuple[int, int]]:
        return sorted((row["user_idx"], row["item_idx"]) for row in frame.collect())  # type: ignore[attr-defined]

    assert pairs(held_out.history(marked, splits["ranker"])) == [(1, 2)]
    assert pairs(held_out.history(marked, splits["holdout"])) == [(1, 3), (2, 1)]
    assert pairs(held_out.history(marked, splits["full"])) == [(1, 3), (1, 4), (2, 1)]
    assert pairs(held_out.labelled(marked, splits["ranker"])) == [(1, 3), (2, 1)]
    assert pairs(held_out.labelled(marked, splits["holdout"])) == [(1, 4)]
    assert pairs(likes.disliked_pairs(rated, marked, splits["ranker"])) == [(1, 1), (1, 3)]
    assert pairs(likes.disliked_pairs(rated, marked, splits["full"])) == [(1, 1), (1, 2)]
