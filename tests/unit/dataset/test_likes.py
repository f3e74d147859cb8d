"""From which rating on one speaks for an item, and what a low one does to what came before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.config import Config
from hybridrec.splitting import likes
from hybridrec.splitting.cuts import positive_events_per_hour

START = datetime(2026, 1, 1, tzinfo=UTC)


def events(path: Path, *ratings: float | None, kind: str = "rating") -> list[str]:
    columns = {"event_type": [kind] * len(ratings), "rating": pa.array(ratings, pa.float32())}
    at = pa.array([START + timedelta(hours=n) for n in range(len(ratings))], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(columns | {"event_at": at}), path / "events.parquet")
    return [str(path / "events.parquet")]


@pytest.mark.parametrize(
    ("ratings", "middle"),
    [
        ([1, 2, 3, 4, 5], 2.5),
        ([4] * 300 + [5] * 300 + [1] * 55, 2.5),
        ([0, 1, 1, 0], 0.5),  # thumbs: up speaks for the item
        ([2, 8, 9, 10], 5.0),
        ([0.5, 3.5, 5.0], 2.5),
        ([1, 1, 1], 0.5),  # one value says no more than that there was an event
        ([5] * 999 + [10], 2.5),  # a wrong one is no scale
        ([None, None], 0.0),
        ([], 0.0),
    ],
)
def test_the_middle_of_the_scale_follows_from_the_ratings(tmp_path: Path, ratings: list[float | None], middle: float) -> None:
    assert likes.middle_of_scale(events(tmp_path, *ratings)) == middle


def test_an_option_goes_first(tmp_path: Path) -> None:
    assert likes.resolved(Config(liked_from=4.0), []).liked_from == 4.0
    assert likes.resolved(Config(), events(tmp_path, 1, 5)).liked_from == 2.5


def test_low_ratings_do_not_move_the_cuts(tmp_path: Path) -> None:
    """Splits are cut where positive events lie."""
    files = events(tmp_path, 1, 5, None, 2, 4)
    hours, counts = positive_events_per_hour(files, Config(liked_from=2.5))
    first = int(START.timestamp()) // 3600
    assert (hours.tolist(), counts.tolist()) == ([first + 1, first + 2, first + 4], [1, 1, 1])
    assert positive_events_per_hour(files, Config())[1].sum() == 5
    assert positive_events_per_hour(events(tmp_path, 1, 1, kind="purchase"), Config(liked_from=2.5))[1].sum() == 2
