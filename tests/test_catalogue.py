"""Which items a fold may recommend: none that came into being behind its cut, and as many unknown ones as on the real night."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import small_world

from hybridrec.catalogue import known_items
from hybridrec.run import Run

N = 4_000


def with_items(run: Run, released: np.ndarray, first: np.ndarray) -> Run:
    """The run with a catalogue of these times, days before its eval cut; NaN: unknown, or no event."""
    cut = run.fold("eval").cut
    rows = small_world.items().iloc[np.zeros(len(released), int)].assign(item_id=[f"n{i:05d}" for i in range(len(released))])

    def times(days: np.ndarray) -> list[object]:
        return [None if np.isnan(day) else cut - timedelta(days=float(day)) for day in days]

    rows = rows.assign(item_idx=range(len(released)), released_at=times(released), first_event_at=times(first))
    types = {name: pa.timestamp("us", tz="UTC") for name in ("released_at", "first_event_at")}
    table = pa.Table.from_pandas(rows.drop(columns=list(types)), preserve_index=False)
    for name, kind in types.items():
        table = table.append_column(name, pa.array(list(rows[name].astype(object).where(rows[name].notna(), None)), kind))
    run.write("model_items", table)
    return run


def test_dates_decide_where_there_are_any(small_run: Run) -> None:
    unknown = np.nan
    released, first = np.array([3, -3, 3, -3, unknown, unknown]), np.array([1, unknown, unknown, 1, 1, -1.0])
    run = with_items(small_run, released, first)
    assert known_items(run, "eval").tolist() == [True, False, True, True, True, False]
    assert known_items(run, "final").all()
    ahead = with_items(small_run, np.array([3, -300]), np.array([unknown, unknown]))
    assert known_items(ahead, "final").tolist() == [True, False], "what is yet to be released is nobody's candidate"


def test_without_dates_as_many_are_unknown_as_on_the_last_fold(small_run: Run) -> None:
    """A thousand items are chosen behind the cut for the first time, 300 never: 300 of them all are candidates without history."""
    first = np.concatenate([np.full(N - 1300, 5.0), np.full(1000, -5.0), np.full(300, np.nan)])
    run = with_items(small_run, np.full(N, np.nan), first)
    known = known_items(run, "eval")
    assert known[: N - 1300].all()
    assert 250 < known[N - 1300 :].sum() < 350
    assert 180 < known[N - 1300 : N - 300].sum() < 280, "some of them will find their user, so a ranker need not bury new items"
    assert known_items(run, "final").all()
    assert (known_items(run, "eval") == known).all(), "a rerun draws the same"


def test_where_nothing_is_known_of_time_everything_is_a_candidate(small_run: Run) -> None:
    run = with_items(small_run, np.array([-3.0, np.nan]), np.array([np.nan, -1.0]))
    run.manifest = replace(run.manifest, config=replace(run.config, split="random_per_user"))
    assert known_items(run, "eval").all()
