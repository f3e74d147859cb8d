"""The window whose popularity says best what comes next, and splits of data that cover two days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.config import Config, SplitMethod
from hybridrec.runs.run import Split
from hybridrec.splitting.cuts import cut_splits, positive_events_per_hour
from hybridrec.splitting.visits import types_of
from hybridrec.splitting.windows import HOURS, best_window

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=60)


def written(folder: Path, hours: np.ndarray, items: np.ndarray, types: list[str] | str = "view") -> list[str]:
    """Return the file of core_events with one event of each hour (a fraction too) and item."""
    at = pd.to_datetime([START + timedelta(hours=float(hour)) for hour in hours]).as_unit("us")
    rows = pd.DataFrame({"item_id": [f"i{item:03d}" for item in items], "event_type": types, "event_at": at, "rating": np.float32("nan")})
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), folder / "events.parquet")
    return [str(folder / "events.parquet")]


def news(folder: Path, life_hours: float, hours: float) -> list[str]:
    """Return events of items that are chosen for so many hours, five at a time."""
    rng = np.random.default_rng(5)
    at = np.sort(rng.uniform(0, hours, 6_000))
    return written(folder, at, (at // life_hours * 5 + rng.integers(0, 5, len(at))).astype(int))


def window(files: list[str], hours: float) -> int:
    split = Split("ranker", START + timedelta(hours=hours * 0.8), START + timedelta(hours=hours * 0.8 + 1))
    return best_window(Config(), files, split)


def test_news_have_a_window_of_hours_and_goods_one_of_weeks(tmp_path: Path) -> None:
    assert window(news(tmp_path, 2.0, 48), 48) <= 3
    assert window(news(tmp_path, 24 * 60, 24 * 60), 24 * 60) >= 72


def test_of_windows_that_say_the_same_the_longest_is_taken(tmp_path: Path) -> None:
    files = written(tmp_path, np.array([30.0, 31.0, 40.0]), np.array([1, 1, 1]))
    assert best_window(Config(), files, Split("ranker", START + timedelta(hours=35), START + timedelta(hours=45))) == HOURS[-1]
    nothing = Split("ranker", START + timedelta(hours=100), START + timedelta(hours=101))
    assert best_window(Config(), files, nothing) == HOURS[-1]


@pytest.mark.parametrize("split", ["last_per_user", "random_per_user"])
def test_without_a_calendar_there_is_no_window(tmp_path: Path, split: SplitMethod) -> None:
    files = written(tmp_path, np.array([30.0, 40.0]), np.array([1, 1]))
    assert best_window(Config(split=split), files, Split("ranker", START, START + timedelta(hours=50))) == 0
    assert types_of(Config(split=split), files, END) == ()


def test_two_days_of_data_give_three_splits_of_hours(tmp_path: Path) -> None:
    """A label window is shorter than a day, every split has something to learn from, and the window is shorter than the history."""
    files, end = news(tmp_path, 2.0, 48), START + timedelta(hours=48)
    hours, counts = positive_events_per_hour(files, Config())
    splits = cut_splits(hours, counts, end, Config(min_label_events=100))
    spans = [splits["ranker"].cut - START, *(splits[name].label_end - splits[name].cut for name in ("ranker", "holdout"))]  # type: ignore[operator]
    assert all(timedelta(hours=5) <= span < timedelta(days=1.5) for span in spans), spans
    assert splits["full"].cut == end
    assert best_window(Config(), files, splits["ranker"]) <= 24


def test_types_count_where_there_are_several(tmp_path: Path) -> None:
    two, items = np.array([1.0, 2.0]), np.array([1, 2])
    assert types_of(Config(), written(tmp_path, two, items, ["view", "purchase"]), END) == ("purchase", "view")
    assert types_of(Config(), written(tmp_path, two, items, ["impression", "purchase"]), END) == (), "an impression is no choice"
    assert types_of(Config(), written(tmp_path, two, items, "view"), END) == ()


def test_types_of_events_after_the_run_do_not_count(tmp_path: Path) -> None:
    files = written(tmp_path, np.array([1.0, 2.0]), np.array([1, 2]), ["view", "add_to_cart"])
    assert types_of(Config(), files, START + timedelta(hours=2)) == (), "carts came first after the day that the run stands for"
