"""Items on the rise: what counts as a rise, and how long lately is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hybridrec.side_tables import trending
from hybridrec.side_tables.trending import HourCounts, best_first, chosen_window, judge_windows, rise, trending_items

HOURS = 24 * 100


def counts_of(per_hour: np.ndarray) -> HourCounts:
    """per_hour: (n_items, n_hours), the newest hour first."""
    items, hours = np.nonzero(per_hour)
    return HourCounts(items.astype(np.int32), hours.astype(np.int64), per_hour[items, hours].astype(np.int64), len(per_hour))


def catalogue(n: int) -> pd.DataFrame:
    return pd.DataFrame({"item_id": [f"i{k}" for k in range(n)], "is_available": [k != 2 for k in range(n)]})


def test_a_rise_is_relative_to_what_was_expected() -> None:
    per_hour = np.zeros((5, HOURS), int)
    per_hour[0] = 5  # always popular
    per_hour[1] = 1
    per_hour[1, :24] = 12  # rises
    per_hour[2, :24] = 9  # rises and is not available
    per_hour[3, :2] = 1  # two events after none
    made = trending_items(rise(counts_of(per_hour), 0, 24), catalogue(5)).to_pandas()
    assert made.item_id[0] == "i1"
    assert "i2" not in set(made.item_id)
    assert "i0" not in set(made.item_id)
    assert made["rank"].tolist() == list(range(1, len(made) + 1))
    assert (made.score > 1).all()
    assert made.n_events[0] == 288
    assert made.window_days.tolist() == [1.0] * len(made)


def test_when_everything_doubles_nothing_rises() -> None:
    per_hour = np.ones((4, HOURS), int) * np.arange(1, 5)[:, None]
    per_hour[:, :24] *= 2
    of_window = rise(counts_of(per_hour), 0, 24)
    assert np.allclose(of_window.ratio, 1)


def test_the_window_is_as_long_as_rises_last() -> None:
    rng = np.random.default_rng(0)
    days_long, hours_long = (bursts(rng, length) for length in (24 * 20, 4))
    chosen = [chosen_window(judge_windows(counts_of(world), span, 24 * 60)) for world, span in ((days_long, 24 * 20), (hours_long, 24))]
    assert chosen[0] >= 24
    assert chosen[1] < 24
    assert chosen[1] < chosen[0]


def bursts(rng: np.random.Generator, length: int) -> np.ndarray:
    """Return a world in which items are popular for a while, in turn."""
    per_hour = rng.poisson(0.05, (60, HOURS))
    for item in range(60):
        for start in rng.integers(0, HOURS, max(1, HOURS // (length * 12))):
            per_hour[item, start : start + length] += rng.poisson(3, len(per_hour[item, start : start + length]))
    return per_hour


def test_ties_do_not_lean_on_chance() -> None:
    ones = np.ones(6)
    assert best_first(ones, ones, np.ones(6, bool), 3).tolist() == [0, 1, 2]


def test_counts_add_up_over_batches() -> None:
    keys, counts = trending._merged(np.array([1, 4]), np.array([2, 1]), [np.array([4, 4, 7]), np.array([1])])
    assert keys.tolist() == [1, 4, 7]
    assert counts.tolist() == [3, 3, 1]
