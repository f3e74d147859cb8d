"""Cleaning: every bad row is refused with its reason, and what is committed stays when a table is bad."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.errors import PermanentError, explain_os_error
from hybridrec.ingest import landing
from hybridrec.ingest.clean import CORE_TABLES, clean_table
from hybridrec.storage import store
from hybridrec.tables import table
from tests.support.delivery import LANDED_AT, Delivery
from tests.support.small_disk import mounted

AT = "2026-01-01T10:00:00Z"


def test_every_bad_row_is_refused_with_its_reason(delivery: Delivery) -> None:
    delivery.config = replace(delivery.config, max_bad_share=0.9)
    delivery.events(
        f"good,u1,i1,view,{AT},,",
        f"no-user,,i1,view,{AT},,",
        f"no-item,u1,,view,{AT},,",
        "no-time,u1,i1,view,,,",
        f"unknown-item,u1,i9,view,{AT},,",
        f"unknown-type,u1,i1,stare,{AT},,",
        "wrong-time,u1,i1,view,yesterday,,",
        "time-of-day,u1,i1,view,12:30,,",
        "future,u1,i1,view,2026-02-01T12:00:01Z,,",
        "future-in-another-zone,u1,i1,view,2026-02-01T10:00:01-03:00,,",
        "antique,u1,i1,view,1969-12-31T23:59:59Z,,",
        f"twice,u2,i2,view,{AT},,",
        f"twice,u2,i2,view,{AT},,",
    )
    delivery.clean()
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["good", "twice"]
    assert delivery.refused() == {
        "no-user": "user_id is missing",
        "no-item": "item_id is missing",
        "no-time": "event_at is missing",
        "unknown-item": "item_id is not in the catalogue",
        "unknown-type": "event_type is none of impression, view, click, add_to_cart, purchase, rating",
        "wrong-time": "event_at is not of type timestamp",
        "time-of-day": "event_at is not of type timestamp",
        "future": "event_at is in the future: after the data landed",
        "future-in-another-zone": "event_at is in the future: after the data landed",
        "antique": "event_at is before 1970",
        "twice": "duplicate event_id",
    }
    quarantine = delivery.rows("quarantine_core_events")
    assert len(quarantine) == 11
    assert {row["source_file"] for row in quarantine} == {"events.csv"}
    unknown = next(json.loads(str(row["row"])) for row in quarantine if "stare" in str(row["row"]))
    assert unknown == {"event_id": "unknown-type", "user_id": "u1", "item_id": "i1", "event_type": "stare", "event_at": AT}


def test_time_stamps_of_all_kinds_become_utc(delivery: Delivery) -> None:
    moment = datetime(2026, 1, 1, 22, 30, tzinfo=UTC)
    seconds = int(moment.timestamp())
    forms = ["2026-01-01T22:30:00Z", "2026-01-02T00:30:00+02:00", "2026-01-01 22:30:00", "2026-01-01T14:30:00.000-08:00"]
    forms += [str(seconds), f"{seconds}.0", str(seconds * 1000)]
    delivery.events(*[f"e{i},u{i},i1,view,{form},," for i, form in enumerate(forms)])
    delivery.clean()
    rows = delivery.rows("core_events")
    assert [(row["event_at"], row["event_date"]) for row in rows] == [(moment, date(2026, 1, 1))] * len(forms)


def test_a_user_whom_the_user_table_lacks_keeps_their_events(delivery: Delivery) -> None:
    (delivery.folder / "users.csv").write_text("user_id,age_years\nu1,30\n")
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,stranger,i1,view,{AT},,")
    delivery.clean()
    assert [row["user_id"] for row in delivery.rows("core_events")] == ["u1", "stranger"]
    assert [row["user_id"] for row in delivery.rows("core_users")] == ["u1"]
    assert delivery.refused() == {}


def test_events_without_an_id_get_one_from_their_content(delivery: Delivery) -> None:
    row = f",u1,i1,view,{AT},,"
    delivery.events(row, row, f",u1,i2,view,{AT},,")
    delivery.clean()
    ids = [str(row["event_id"]) for row in delivery.rows("core_events")]
    assert len(set(ids)) == 3
    assert all(len(one) == 32 for one in ids)
    assert delivery.refused() == {}


def test_a_robot_is_refused_and_the_others_stay(delivery: Delivery) -> None:
    robot = [f"r{n},robot,i1,view,2026-01-01T10:00:{n:02d}Z,," for n in range(6)]
    busy = [f"b{n},busy,i1,view,2026-01-01T10:00:{n:02d}Z,," for n in range(5)]
    delivery.events(*robot, *busy, "r9,robot,i1,view,2026-01-02T10:00:00Z,,")
    delivery.clean()
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["b0", "b1", "b2", "b3", "b4", "r9"]
    assert delivery.refused() == {f"r{n}": "robot: more than 5 events of one user on one day" for n in range(6)}


def test_a_mostly_bad_table_stops_and_the_last_one_stays(delivery: Delivery) -> None:
    delivery.clean()
    before = delivery.manifest()
    delivery.events(f"e2,u1,i1,view,{AT},,", f"e3,,i1,view,{AT},,", f"e4,,i1,view,{AT},,", f"e5,u1,i1,stare,{AT},,")
    with pytest.raises(PermanentError) as error:
        delivery.clean("core_events")
    message = str(error.value)
    assert "core_events: 3 of 4 rows are bad (user_id is missing: 2; event_type is none of" in message
    assert "at most 50% bad ones; the table stays as it was; look at quarantine_core_events" in message
    assert delivery.manifest() == before
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["e1"]
    assert delivery.manifest("quarantine_core_events").rows == 3


def test_a_delivery_without_rows_stops(delivery: Delivery) -> None:
    delivery.events()
    with pytest.raises(PermanentError, match="core_events: the source delivered no rows; the table stays as it was"):
        delivery.clean()
    assert not store.is_committed(delivery.dataset("core_events"))


def test_events_wait_for_the_catalogue(delivery: Delivery) -> None:
    with pytest.raises(PermanentError, match="events are compared with core_items, which does not exist; clean core_items first"):
        delivery.clean("core_events")


def test_of_items_with_the_same_id_one_stays(delivery: Delivery) -> None:
    (delivery.folder / "items.csv").rename(delivery.folder / "ignored.csv")
    (delivery.folder / "items.jsonl").write_text('{"item_id": "i3"}\n{"item_id": 4, "categories": "a| b"}\n{"item_id": "i3"}')
    delivery.clean("core_items")
    assert delivery.refused("core_items") == {"i3": "duplicate item_id"}
    assert {row["item_id"] for row in delivery.rows("core_items")} == {"4", "i3"}


def test_items_have_their_defaults(delivery: Delivery) -> None:
    delivery.clean("core_items")
    found = delivery.rows("core_items")
    assert [row["categories"] for row in found] == [["a", "b"], [], ["c"]]
    assert {(row["is_available"], row["is_promoted"], row["brand"]) for row in found} == {(True, False, None)}
    schema = pq.read_schema(store.committed_files(delivery.dataset("core_items"))[0])
    assert schema.names == list(table("core_items").column_names)


def test_without_catalogue_and_user_table_they_are_what_events_name(delivery: Delivery) -> None:
    (delivery.folder / "items.csv").unlink()
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,u2,i9,view,{AT},,")
    delivery.clean(*CORE_TABLES)
    assert [(row["item_id"], row["title"], row["is_available"]) for row in delivery.rows("core_items")] == [
        ("i1", "i1", True),
        ("i9", "i9", True),
    ]
    delivery.events(f"e3,u3,i1,view,{AT},,")
    delivery.clean(*CORE_TABLES)
    assert [row["user_id"] for row in delivery.rows("core_users")] == ["u1", "u2", "u3"]  # those named before stay
    assert len(delivery.rows("core_events")) == 3


def test_files_of_different_types_are_one_table(delivery: Delivery) -> None:
    at = datetime(2026, 1, 3, 5, tzinfo=UTC)
    typed = pa.table(
        {"user_id": [7], "item_id": ["i2"], "event_type": ["rating"], "event_at": pa.array([at], pa.timestamp("ns")), "rating": [4.5]}
    )
    floats = pa.table({"user_id": [8.0], "item_id": ["i2"], "event_type": ["click"], "event_at": [int(at.timestamp())], "position": [2.0]})
    (delivery.folder / "events").mkdir()
    pq.write_table(typed, delivery.folder / "events" / "typed.parquet")
    pq.write_table(floats, delivery.folder / "events" / "floats.parquet")
    delivery.clean()
    found = {row["user_id"]: (row["event_at"], row["rating"], row["position"]) for row in delivery.rows("core_events")}
    assert found["7"] == (at, 4.5, None)
    assert found["8"] == (at, None, 2)


def test_ingesting_again_changes_nothing(delivery: Delivery) -> None:
    delivery.events(*[f"e{n},u{n},i{n % 3 + 1},view,2026-01-{n + 1:02d}T10:00:00Z,," for n in range(9)])
    delivery.clean(*CORE_TABLES)
    before = {name: delivery.manifest(name) for name in ("core_events", "core_items", "core_users", "quarantine_core_events")}
    delivery.clean(*CORE_TABLES, landed_at=LANDED_AT + timedelta(hours=1))
    assert {name: delivery.manifest(name) for name in before} == before
    assert len(list(delivery.dataset("core_events").glob("attempt-*"))) == 1


def test_days_add_up_and_late_events_join_their_day(delivery: Delivery) -> None:
    delivery.events("a,u1,i1,view,2026-01-01T10:00:00Z,,", "b,u1,i1,view,2026-01-02T10:00:00Z,,")
    delivery.clean()
    first = delivery.manifest()
    delivery.events("late,u2,i2,view,2026-01-01T23:00:00Z,,", "c,u1,i1,view,2026-01-03T10:00:00Z,,")
    delivery.clean()
    assert [(row["event_id"], str(row["event_date"])) for row in delivery.rows("core_events")] == [
        ("a", "2026-01-01"), ("late", "2026-01-01"), ("b", "2026-01-02"), ("c", "2026-01-03"),
    ]  # fmt: skip
    untouched = [file for file in first.files if "event_date=2026-01-02" in file]
    assert set(first.files) & set(delivery.manifest().files) == set(untouched)
    assert all((delivery.dataset("core_events") / file).exists() for file in first.files)  # an open run still reads them


def test_one_delivery_at_once_or_in_parts_gives_the_same_table(delivery: Delivery) -> None:
    rows = [f"e{n},u{n % 4},i{n % 3 + 1},view,2026-01-{n % 5 + 1:02d}T10:00:00Z,," for n in range(15)]
    delivery.events(*rows)
    delivery.clean()
    whole = delivery.manifest()
    delivery.settings = replace(delivery.settings, home=delivery.settings.home / "parts")
    delivery.events(*rows[8:])
    delivery.clean()
    delivery.events(*rows[:12])
    delivery.clean("core_events")
    assert delivery.manifest().content_hash == whole.content_hash


def test_a_corrected_event_replaces_the_old_one_even_on_another_day(delivery: Delivery) -> None:
    delivery.events("a,u1,i1,view,2026-01-01T10:00:00Z,,", "b,u1,i1,rating,2026-01-02T10:00:00Z,2,", "c,u1,i2,view,2026-01-02T11:00:00Z,,")
    delivery.clean()
    delivery.events("a,u1,i1,view,2026-01-03T10:00:00Z,,", "b,u1,i1,rating,2026-01-02T10:00:00Z,5,")
    delivery.clean()
    found = {row["event_id"]: (str(row["event_date"]), row["rating"]) for row in delivery.rows("core_events")}
    assert found == {"a": ("2026-01-03", None), "b": ("2026-01-02", 5.0), "c": ("2026-01-02", None)}
    assert not any("event_date=2026-01-01" in file for file in delivery.manifest().files)
    assert delivery.found().notes == {"ids whose event replaces one of another time or type": 1}


def test_spark_and_arrow_read_the_same_columns(delivery: Delivery) -> None:
    delivery.clean()
    files = [str(path) for path in store.committed_files(delivery.dataset("core_events"))]
    frame = delivery.session.read.parquet(*files)
    assert tuple(frame.columns) == table("core_events").column_names
    assert tuple(delivery.rows("core_events")[0]) == table("core_events").column_names


def test_unknown_table(delivery: Delivery) -> None:
    with pytest.raises(PermanentError, match="table 'core_sales': choose from core_items, core_users, core_events"):
        delivery.clean("core_sales")


@pytest.fixture
def small_disk(delivery: Delivery) -> Iterator[Path]:
    """Provide the home on a disk of 8 MiB of its own."""
    with mounted(delivery.settings.home, 8) as home:
        yield home


def test_a_full_disk_is_one_sentence_and_the_last_table_stays(delivery: Delivery, small_disk: Path) -> None:
    delivery.clean()
    before = delivery.manifest()
    delivery.events(*[f"{n},u{n % 997},i1,view,2026-01-02T10:00:00Z,," for n in range(20_000)])
    delivery.config = replace(delivery.config, max_events_per_day=100)
    landing.land(delivery.settings, "files", 1, LANDED_AT)
    filler = small_disk / "filler"
    free = shutil.disk_usage(small_disk).free
    filler.write_bytes(b"\0" * (free - 8_000))
    with pytest.raises(OSError, match="no space left") as error:
        clean_table(delivery.session, delivery.settings, "files", "core_events", delivery.config)
    assert "free some space or move HYBRIDREC_HOME" in explain_os_error(error.value)
    assert delivery.manifest() == before
    filler.unlink()
    assert clean_table(delivery.session, delivery.settings, "files", "core_events", delivery.config).rows == 20_001
