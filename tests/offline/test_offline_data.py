"""A folder as the benchmark reads it, and the processes that it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.ingest import clean, landing
from hybridrec.offline.data import NAMED, SOME_DAY, adapt, add_named_by_events
from hybridrec.offline.stages import Stages

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

AT = datetime(2026, 1, 2, tzinfo=UTC)
LANDED_AT = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A delivery whose events have neither event_type nor rating."""
    events = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "event_at": [AT] * 3})
    events.to_parquet(tmp_path / "events.parquet")
    pd.DataFrame({"item_id": ["a", "c"], "categories": [["x"], []]}).to_parquet(tmp_path / "items.parquet")
    return tmp_path


def adapted(folder: Path, split: str = "time") -> pd.DataFrame:
    """The events that adapt makes of the folder."""
    adapt(folder, folder / "out", split)  # type: ignore[arg-type]
    return pd.read_parquet(folder / "out" / "events")


def add_events(folder: Path, **columns: object) -> None:
    """Give the folder's events these columns."""
    pd.read_parquet(folder / "events.parquet").assign(**columns).to_parquet(folder / "events.parquet")


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


def ingested(spark: SparkSession, folder: Path, monkeypatch: pytest.MonkeyPatch, split: str = "time") -> dict[str, pd.DataFrame]:
    """The core and quarantine tables that ingest makes of a benchmark's folder."""
    settings = Settings.from_env()
    adapt(folder, folder / "out", split)  # type: ignore[arg-type]
    add_named_by_events(spark, folder / "out")
    monkeypatch.setenv("HYBRIDREC_FILES", str(folder / "out"))
    landing.land(settings, "files", 1, LANDED_AT)
    found = {}
    for name in clean.CORE_TABLES:
        clean.clean_table(spark, settings, "files", name, Config())
        found[name] = pd.concat(pd.read_parquet(path) for path in sorted((settings.warehouse("files") / name).rglob("*.parquet")))
    return found


def by_weight(events: pd.DataFrame) -> dict[str, int]:
    """Number of events by type, of those that weigh something."""
    weights = Config().event_weights
    return {name: int(n) for name, n in events.event_type.value_counts().items() if weights.get(str(name), 0)}


@pytest.mark.slow
def test_impressions_weigh_nothing(spark: SparkSession, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, 60, 1_020), rng.integers(0, 40, 1_020)
    at = pd.Timestamp("2026-05-01", tz="UTC") + pd.to_timedelta(np.arange(1_020), unit="h")
    kinds = np.repeat(["purchase", "impression"], [720, 300])
    data = pd.DataFrame({"user_id": users, "item_id": items, "event_type": kinds, "event_at": at})
    data.to_parquet(tmp_path / "events.parquet")
    events = ingested(spark, tmp_path, monkeypatch)["core_events"]
    assert by_weight(events) == {"purchase": 720} and len(events) == 1_020


@pytest.mark.slow
def test_ids_are_spelled_as_ingest_spells_them(spark: SparkSession, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers with an empty one among them become floats; the catalogue has whole numbers, users have text with a blank."""
    events = {
        "user_id": [196.0, 196.0, np.nan, 12345678901.0],
        "item_id": [1.0, 2.0, 1.0, 3.0],
        "event_at": [AT + pd.Timedelta(hours=n) for n in range(4)],
    }
    pd.DataFrame(events).to_parquet(tmp_path / "events.parquet")
    pd.DataFrame({"item_id": [1, 2], "title": ["one", "two"]}).to_parquet(tmp_path / "items.parquet")
    pd.DataFrame({"user_id": [" 196"], "region": ["x"]}).to_parquet(tmp_path / "users.parquet")
    found = ingested(spark, tmp_path, monkeypatch)
    assert sorted(zip(found["core_events"].user_id, found["core_events"].item_id, strict=True)) == [
        ("12345678901", "3"),
        ("196", "1"),
        ("196", "2"),
    ]
    assert found["core_items"].set_index("item_id").title.to_dict() == {"1": "one", "2": "two", "3": None}
    assert sorted(found["core_users"].user_id) == ["12345678901", "196"]
    assert pd.read_parquet(tmp_path / "out" / "items" / NAMED).item_id.tolist() == ["3"]


@pytest.mark.slow
def test_an_event_id_that_comes_twice_is_one_event(
    spark: SparkSession, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"event_id": ["x", "x", "y"], "user_id": ["u"] * 3, "item_id": ["a"] * 3, "event_at": [AT] * 3, "event_type": ["view"] * 3}
    pd.DataFrame(columns).to_parquet(tmp_path / "events.parquet")
    events = ingested(spark, tmp_path, monkeypatch)["core_events"]
    assert sorted(events.event_id) == ["x", "y"] and set(events.event_type) == {"view"}


@pytest.mark.slow
def test_unknown_types_are_refused_with_the_choices(
    spark: SparkSession, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"user_id": ["u"] * 3, "item_id": ["a"] * 3, "event_at": [AT] * 3, "event_type": ["watched"] * 3}
    pd.DataFrame(columns).to_parquet(tmp_path / "events.parquet")
    with pytest.raises(PermanentError, match=r"core_events: 3 of 3 rows are bad \(event_type is none of .*purchase"):
        ingested(spark, tmp_path, monkeypatch)


def test_stages_say_which_job_failed_and_why(tmp_path: Path, home: Path) -> None:
    stages = Stages(tmp_path / "logs", {"HYBRIDREC_HOME": str(home)}, at_once=2)
    with pytest.raises(
        PermanentError, match=r"evaluate.nope ended with code 3: PermanentError in evaluate: run 'nope': .*open_run .*evaluate.nope.log"
    ):
        stages.run("evaluate", [("evaluate", "--run-id", "nope")])
    stages.run("again", [("evaluate", "--run-id", "nope")], optional=True)
    assert [stage.name for stage in stages.done] == ["again"]
    assert stages.done[0].seconds > 0 and stages.done[0].peak_mib > 10
