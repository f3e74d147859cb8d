"""A folder as the benchmark reads it, and the processes that it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from hybridrec.errors import BadData
from hybridrec.offline.data import SOME_DAY, adapt
from hybridrec.offline.stages import Stages

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    events = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "event_at": [AT] * 3})
    events.to_parquet(tmp_path / "events.parquet")
    pd.DataFrame({"item_id": ["a", "c"], "categories": [["x"], []]}).to_parquet(tmp_path / "items.parquet")
    return tmp_path


def test_ids_are_text_and_items_that_only_events_name_are_known(folder: Path) -> None:
    adapt(folder, folder / "out", "time")
    events = pd.read_parquet(folder / "out" / "events.parquet")
    assert events.user_id.tolist() == ["1", "1", "2"] and set(events.event_type) == {"purchase"} and (events.event_at == AT).all()
    assert pd.read_parquet(folder / "out" / "items.parquet").item_id.tolist() == ["a", "c", "b"]
    assert not (folder / "out" / "users.parquet").exists()


def test_without_time_all_events_are_of_one_day(folder: Path) -> None:
    adapt(folder, folder / "out", "random_per_user")
    assert (pd.read_parquet(folder / "out" / "events.parquet").event_at == SOME_DAY).all()


def test_ratings_become_rating_events(folder: Path) -> None:
    pd.read_parquet(folder / "events.parquet").assign(rating=[1.0, 5.0, 3.0]).to_parquet(folder / "events.parquet")
    adapt(folder, folder / "out", "time")
    events = pd.read_parquet(folder / "out" / "events.parquet")
    assert set(events.event_type) == {"rating"} and events.rating.tolist() == [1.0, 5.0, 3.0]


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"nowhere/events.parquet does not exist; expected a folder with events.parquet"):
        adapt(tmp_path / "nowhere", tmp_path / "out", "time")
    pd.DataFrame({"user_id": [1], "item_id": [2]}).to_parquet(folder / "events.parquet")
    with pytest.raises(BadData, match=r"no column event_at; split last_per_user needs event_at, item_id, user_id"):
        adapt(folder, folder / "out", "last_per_user")
    (folder / "events.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(BadData, match="cannot be read as Parquet"):
        adapt(folder, folder / "out", "time")


def test_stages_say_which_job_failed_and_why(tmp_path: Path, home: Path) -> None:
    stages = Stages(tmp_path / "logs", {"HYBRIDREC_HOME": str(home)}, at_once=2)
    with pytest.raises(BadData, match=r"evaluate.nope ended with code 3: BadData in evaluate: run 'nope': .*open_run .*evaluate.nope.log"):
        stages.run("evaluate", [("evaluate", "--run-id", "nope")])
    stages.run("again", [("evaluate", "--run-id", "nope")], optional=True)
    assert [stage.name for stage in stages.done] == ["again"]
    assert stages.done[0].seconds > 0 and stages.done[0].peak_mib > 10
