"""A table that would come out as it is, is left as it is: nothing starts, nothing is written; and never otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hybridrec.base.config import read_config
from hybridrec.base.errors import PermanentError
from hybridrec.execution import spark
from hybridrec.ingest import landing
from hybridrec.ingest.clean import CORE_TABLES, is_clean
from hybridrec.storage import fingerprints, store
from jobs import clean_table
from tests.support.delivery import LANDED_AT, Delivery

AT = "2026-01-01T10:00:00Z"
HOUR = timedelta(hours=1)


def cleaned(delivery: Delivery) -> list[str]:
    """Return the tables that a clean_table would leave as they are."""
    return [name for name in CORE_TABLES if is_clean(delivery.settings, "files", name, delivery.config)]


def land(delivery: Delivery) -> None:
    landing.land(delivery.settings, "files", 1, LANDED_AT + HOUR)


def test_equal_files_start_no_spark(delivery: Delivery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    delivery.config = read_config(delivery.settings.home / "hybridrec.toml")
    delivery.clean(*CORE_TABLES)
    before = {name: store.read_manifest(delivery.dataset(name)) for name in CORE_TABLES}
    land(delivery)
    monkeypatch.setattr(spark, "session", lambda: pytest.fail("Spark was asked for"))
    caplog.set_level("INFO")
    for name in CORE_TABLES:
        clean_table.main(clean_table.Params("files", name))  # type: ignore[arg-type]
        assert f"{name}: unchanged: the same raw files, options and code as the last time" in caplog.text
    assert {name: store.read_manifest(delivery.dataset(name)) for name in CORE_TABLES} == before


def test_anything_else_is_cleaned(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery.clean(*CORE_TABLES)
    assert cleaned(delivery) == ["core_items", "core_users", "core_events"]
    with monkeypatch.context() as edited:
        edited.setattr(fingerprints, "code_version", lambda: "another")
        assert cleaned(delivery) == []
    options, delivery.config = delivery.config, replace(delivery.config, max_events_per_day=6)
    assert cleaned(delivery) == []
    delivery.config = options
    (delivery.dataset("quarantine_core_items") / store.MANIFEST).unlink()
    assert cleaned(delivery) == ["core_users", "core_events"]
    delivery.clean("core_items")
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,u1,i2,view,{AT},,")
    land(delivery)
    assert cleaned(delivery) == ["core_items"]  # the users are those that events name


def test_events_follow_the_catalogue(delivery: Delivery) -> None:
    """A newer delivery's catalogue has been cleaned, and its events have not."""
    items = delivery.folder / "items.csv"
    whole = items.read_text()
    delivery.clean()
    assert cleaned(delivery) == ["core_items", "core_events"]
    items.write_text(whole.replace("One", "Uno"))
    delivery.clean("core_items")
    items.write_text(whole)
    land(delivery)
    assert cleaned(delivery) == []


def test_an_event_of_the_future_is_judged_at_every_landing(delivery: Delivery) -> None:
    delivery.events(f"e1,u1,i1,view,{AT},,", f"late,u1,i1,view,{(LANDED_AT + HOUR).isoformat()},,")
    delivery.clean()
    assert delivery.refused() == {"late": "event_at is in the future: after the data landed"}
    assert cleaned(delivery) == ["core_items"]
    delivery.clean("core_events", landed_at=LANDED_AT + HOUR)
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["e1", "late"]
    assert cleaned(delivery) == ["core_items", "core_events"]


def test_after_a_bad_delivery_the_good_one_is_cleaned_again(delivery: Delivery) -> None:
    """The core table has stayed, its quarantine tells of the bad delivery."""
    events = delivery.folder / "events.csv"
    good = events.read_text()
    delivery.clean()
    delivery.events(f"e2,,i1,view,{AT},,")
    with pytest.raises(PermanentError, match="1 of 1 rows are bad"):
        delivery.clean("core_events")
    assert "core_events" not in cleaned(delivery)
    events.write_text(good)
    land(delivery)
    assert "core_events" not in cleaned(delivery)
    delivery.clean("core_events")
    assert delivery.rows("quarantine_core_events") == []
    assert "core_events" in cleaned(delivery)
