"""A folder as the benchmark reads it, and the processes that it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.offline.data import SOME_DAY, adapt
from hybridrec.offline.steps import Steps
from tests.support.bare_delivery import AT


def adapted(folder: Path, split: str = "time") -> pd.DataFrame:
    """Return the events that adapt makes of the folder."""
    adapt(folder, folder / "out", split)  # type: ignore[arg-type]
    return pd.read_parquet(folder / "out" / "events")


def add_events(folder: Path, **columns: object) -> None:
    """Give the folder's events these columns."""
    pd.read_parquet(folder / "events.parquet").assign(**columns).to_parquet(folder / "events.parquet")  # type: ignore[arg-type]


def test_without_event_type_events_are_purchases_and_ids_stay_as_they_came(folder: Path) -> None:
    events = adapted(folder)
    assert events.user_id.tolist() == [1, 1, 2] and set(events.event_type) == {"purchase"} and (events.event_at == AT).all()
    assert pd.read_parquet(folder / "out" / "items").item_id.tolist() == ["a", "c"]
    assert not (folder / "out" / "users").exists()


def test_without_time_all_events_are_of_one_day(folder: Path) -> None:
    assert (adapted(folder, "random_per_user").event_at == SOME_DAY).all()


def test_an_event_with_a_rating_is_a_rating(folder: Path) -> None:
    add_events(folder, rating=[1.0, np.nan, 3.0])
    assert adapted(folder).event_type.tolist() == ["rating", "purchase", "rating"]


def test_event_type_ids_of_events_and_places_stay(folder: Path) -> None:
    add_events(folder, event_type=["view", "impression", "nonsense"], event_id=[7, 7, 8], position=[1, 2, 0], rating=[1.0, 2.0, 3.0])
    events = adapted(folder)
    assert events.event_type.tolist() == ["view", "impression", "nonsense"]
    assert events.event_id.tolist() == [7, 7, 8] and events.position.tolist() == [1, 2, 0]


def test_what_files_can_read_the_benchmark_can(folder: Path) -> None:
    pd.read_parquet(folder / "events.parquet").to_csv(folder / "events.csv", index=False, sep=";")
    (folder / "events.parquet").unlink()
    assert adapted(folder).event_type.tolist() == ["purchase"] * 3


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"nowhere/events.parquet does not exist; expected a folder with events.parquet"):
        adapt(tmp_path / "nowhere", tmp_path / "out", "time")
    pd.DataFrame({"user_id": [1], "item_id": [2]}).to_parquet(folder / "events.parquet")
    with pytest.raises(PermanentError, match=r"no column event_at among its 2; .* needs user_id, item_id, event_at"):
        adapt(folder, folder / "out", "last_per_user")
    (folder / "events.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(PermanentError, match="no whole Parquet file"):
        adapt(folder, folder / "out", "time")


def test_steps_say_which_job_failed_and_why(tmp_path: Path, home: Path) -> None:
    steps = Steps(tmp_path / "logs", {"HYBRIDREC_HOME": str(home)}, at_once=2)
    with pytest.raises(
        PermanentError, match=r"evaluate.nope ended with code 3: PermanentError in evaluate: run 'nope': .*open_run .*evaluate.nope.log"
    ):
        steps.run("evaluate", [("evaluate", "--run-id", "nope")])
    steps.run("again", [("evaluate", "--run-id", "nope")], optional=True)
    assert [step.name for step in steps.done] == ["again"]
    assert steps.done[0].seconds > 0 and steps.done[0].peak_mib > 10
