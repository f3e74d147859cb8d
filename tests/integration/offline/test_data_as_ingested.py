"""The offline benchmark reads files as ingest does."""

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
from hybridrec.offline.data import NAMED, adapt, add_named_by_events
from tests.support.bare_delivery import AT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
LANDED_AT = datetime(2026, 7, 1, tzinfo=UTC)


def ingested(spark: SparkSession, folder: Path, monkeypatch: pytest.MonkeyPatch, split: str = "time") -> dict[str, pd.DataFrame]:
    """Return the core and quarantine tables that ingest makes of a benchmark's folder."""
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
    """Return the number of events by type, of those that weigh something."""
    weights = Config().event_weights
    return {str(name): int(n) for name, n in events.event_type.value_counts().items() if weights.get(str(name), 0)}


def test_impressions_weigh_nothing(spark: SparkSession, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, 60, 1_020), rng.integers(0, 40, 1_020)
    at = pd.Timestamp("2026-05-01", tz="UTC") + pd.to_timedelta(np.arange(1_020), unit="h")
    kinds = np.repeat(["purchase", "impression"], [720, 300])
    data = pd.DataFrame({"user_id": users, "item_id": items, "event_type": kinds, "event_at": at})
    data.to_parquet(tmp_path / "events.parquet")
    events = ingested(spark, tmp_path, monkeypatch)["core_events"]
    assert by_weight(events) == {"purchase": 720} and len(events) == 1_020


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


def test_an_event_id_that_comes_twice_is_one_event(
    spark: SparkSession, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"event_id": ["x", "x", "y"], "user_id": ["u"] * 3, "item_id": ["a"] * 3, "event_at": [AT] * 3, "event_type": ["view"] * 3}
    pd.DataFrame(columns).to_parquet(tmp_path / "events.parquet")
    events = ingested(spark, tmp_path, monkeypatch)["core_events"]
    assert sorted(events.event_id) == ["x", "y"] and set(events.event_type) == {"view"}


def test_unknown_types_are_refused_with_the_choices(
    spark: SparkSession, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"user_id": ["u"] * 3, "item_id": ["a"] * 3, "event_at": [AT] * 3, "event_type": ["watched"] * 3}
    pd.DataFrame(columns).to_parquet(tmp_path / "events.parquet")
    with pytest.raises(PermanentError, match=r"core_events: 3 of 3 rows are bad \(event_type is none of .*purchase"):
        ingested(spark, tmp_path, monkeypatch)
