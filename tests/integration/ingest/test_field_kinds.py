"""Deliveries of shops, from the files to the core tables: the right rows come out, and every other row has a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.tables import MAX_ID
from tests.support.delivery import Delivery

HEADER = "user_id,item_id,event_type,event_at\n"
LANDED_AT = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def shop(delivery: Delivery) -> Iterator[Delivery]:
    """Provide an empty folder; most rows may be bad."""
    for path in delivery.folder.iterdir():
        path.unlink()
    delivery.config = replace(delivery.config, max_bad_share=0.95, max_events_per_day=100)
    yield delivery


def write_events(folder: Path, *items: str) -> None:
    rows = [f"ann,{item},view,2026-05-01T08:00:{number:02d}Z\n" for number, item in enumerate(items)]
    (folder / "events.csv").write_text(HEADER + "".join(rows))


def by_id(shop: Delivery, column: str) -> dict[object, object]:
    return {row["item_id"]: row[column] for row in shop.rows("core_items")}


def test_titles_that_begin_with_an_inch_sign(shop: Delivery) -> None:
    titles = {"q1": "plain lamp", "q2": '"24 inch screen', "q3": "oak chair", "q4": "pine chair", "q5": '"17 inch laptop', "q6": "rug"}
    (shop.folder / "items.tsv").write_text(
        "item_id\ttitle\tcategories\n" + "".join(f"{key}\t{title}\tx\n" for key, title in titles.items())
    )
    write_events(shop.folder, *titles)
    shop.clean(landed_at=LANDED_AT)
    assert by_id(shop, "title") == titles
    assert len(shop.rows("core_events")) == 6


def test_prices_with_a_decimal_comma(shop: Delivery) -> None:
    (shop.folder / "items.csv").write_text(
        "item_id;title;price\nd1;Lamp;39,90\nd2;Rug;120\nd3;Chair;1.015,50\nd4;Desk;80\nd5;Shelf;1.060\n"
    )
    write_events(shop.folder, *["d1", "d2", "d3", "d4", "d5"] * 3)
    shop.clean(landed_at=LANDED_AT)
    assert by_id(shop, "price") == {"d1": pytest.approx(39.9), "d2": 120.0, "d3": 1015.5, "d4": 80.0, "d5": 1060.0}
    assert len(shop.rows("core_events")) == 15


def test_words_for_null_are_nobody_and_nothing(shop: Delivery) -> None:
    (shop.folder / "items.csv").write_text("item_id,title,price,brand\np1,One,NULL,NULL\np2,Two,3,Arden\np3,Three,\\N,\\N\n")
    users = ("NULL", "NULL", "nan", "None", "\\N", "ann")
    rows = [f"{user},p1,view,2026-05-01T08:00:{number:02d}Z\n" for number, user in enumerate(users)]
    (shop.folder / "events").mkdir()
    (shop.folder / "events" / "a.csv").write_text(HEADER + "".join(rows))
    lines = [{"user_id": "nan", "item_id": "p2", "event_type": "view", "event_at": 1777622400.5}]
    lines += [{"user_id": None, "item_id": "p2", "event_type": "view", "event_at": 1777622400}]
    (shop.folder / "events" / "b.jsonl").write_text("\n".join(map(json.dumps, lines)))
    shop.clean("core_items", "core_users", "core_events", landed_at=LANDED_AT)
    assert by_id(shop, "price") == {"p1": None, "p2": 3.0, "p3": None}
    assert by_id(shop, "brand") == {"p1": None, "p2": "Arden", "p3": None}
    assert [row["user_id"] for row in shop.rows("core_events")] == ["ann"]
    refused = shop.rows("quarantine_core_events")
    assert [row["reason"] for row in refused] == ["user_id is missing"] * 7
    assert sorted(str(row["source_file"]) for row in refused) == ["events/a.csv"] * 5 + ["events/b.jsonl"] * 2
    assert [row["user_id"] for row in shop.rows("core_users")] == ["ann"]


def test_numbers_of_one_thing_that_are_written_in_several_ways(shop: Delivery) -> None:
    at = datetime(2026, 5, 1, 8, 0, 0, 250_000, tzinfo=UTC)
    (shop.folder / "events").mkdir()
    pair = {"item_id": ["p1", "p2"], "event_type": ["view", "view"]}
    floats = pa.table(pair | {"user_id": [196.0, None], "event_at": [1777622400.25, 1777622401.5]})
    pq.write_table(floats, shop.folder / "events" / "floats.parquet")
    pq.write_table(pa.table(pair | {"user_id": [196, 7], "event_at": [1777622400250, 20260501]}), shop.folder / "events" / "whole.parquet")
    (shop.folder / "events" / "text.csv").write_text(HEADER + "196.0,p3,view,1777622400.25\n007,p1,view,20260501T080000Z\n")
    (shop.folder / "events" / "lines.jsonl").write_text(
        '{"user_id": 196.0, "item_id": "p4", "event_type": "view", "event_at": 1777622400.25}'
    )
    shop.clean(landed_at=LANDED_AT)
    found = {(row["user_id"], row["item_id"]): row["event_at"] for row in shop.rows("core_events")}
    assert found == {
        ("196", "p1"): at, ("196", "p3"): at, ("196", "p4"): at, ("007", "p1"): at.replace(microsecond=0),
        ("7", "p2"): datetime(2026, 5, 1, tzinfo=UTC),
    }  # fmt: skip
    assert list(shop.refused().values()).count("user_id is missing") == 1


def test_int96_with_an_open_end(shop: Delivery) -> None:
    times = pa.array([1_767_225_600, 253_402_214_400, -62_135_596_800], pa.timestamp("s"))
    pq.write_table(
        pa.table({"item_id": ["p1", "p2", "p3"], "title": ["a", "b", "c"], "released_at": times}),
        shop.folder / "items.parquet",
        use_deprecated_int96_timestamps=True,
    )
    write_events(shop.folder, "p1", "p2")
    shop.clean("core_items", landed_at=LANDED_AT)
    assert by_id(shop, "released_at") == {"p1": datetime(2026, 1, 1, tzinfo=UTC), "p2": None, "p3": None}


def test_foreign_names_and_the_folder_of_a_spark_job(shop: Delivery) -> None:
    for name in ("events/2026-05-01T08:00:00.csv", "events/a[b]*?{c}.csv", f"events/{'x' * 250}.csv"):
        (shop.folder / name).parent.mkdir(exist_ok=True)
        (shop.folder / name).write_text(
            f"{HEADER}ann,p1,view,2026-05-01T08:00:00Z\n,p2,view,2026-05-01T09:00:00Z\n".replace("ann", str(len(name)))
        )
    spark = shop.folder / "events.parquet"
    (spark / "_temporary" / "0").mkdir(parents=True)
    at = pa.array([datetime(2026, 5, 1, 8), datetime(2026, 5, 2, 8)], pa.timestamp("us"))
    rows = pa.table({"user_id": ["u", "v"], "item_id": ["p", "p"], "event_type": ["view", "view"], "event_at": at})
    for name in ("part-00000-a.snappy.parquet", "_temporary/0/part-00001.parquet"):
        pq.write_table(rows, spark / name)
    (spark / "_SUCCESS").touch()
    shop.clean(landed_at=LANDED_AT)
    assert len(shop.rows("core_events")) == 5
    assert {row["source_file"] for row in shop.rows("quarantine_core_events")} == {
        "events/2026-05-01T08:00:00.csv", "events/a[b]*?{c}.csv", f"events/{'x' * 250}.csv",
    }  # fmt: skip


def test_text_and_lists_are_safe_for_all_that_follows(shop: Delivery) -> None:
    lines = [
        r'{"item_id": "s1", "title": "Party hat \ud83d", "categories": ["hats", null, "x\u0000"]}',
        r'{"item_id": "s2", "title": "Rug\u0000", "brand": {"name": "x"}}',
        json.dumps({"item_id": "s" * (MAX_ID + 1), "title": "too long"}),
        '{"item_id": ["s3"], "title": "a list"}',
    ]
    (shop.folder / "items.jsonl").write_text("\n".join(lines))
    write_events(shop.folder, "s1", "s2")
    shop.clean("core_items", landed_at=LANDED_AT)
    found = {row["item_id"]: (row["title"], row["categories"], row["brand"]) for row in shop.rows("core_items")}
    assert found["s1"] == ("Party hat \ufffd", ["hats", "x\ufffd"], None)
    assert "s" * (MAX_ID + 1) not in found
    reasons = {str(row["reason"]) for row in shop.rows("quarantine_core_items")}
    assert {f"item_id is longer than {MAX_ID} characters", "item_id is not of type string"} <= reasons


def test_headers_amid_the_rows_are_nobody_and_nothing(shop: Delivery) -> None:
    (shop.folder / "items.csv").write_text("item_id,title\n-------,-----\np1,One\nitem_id,title\np2,Two\n")
    rows = "ann,p1,view,2026-05-01T08:00:00Z\n"
    (shop.folder / "events.csv").write_text(f"{HEADER}{rows}{HEADER}{rows.replace('ann', 'bob')}")
    shop.clean(landed_at=LANDED_AT)
    assert by_id(shop, "title") == {"p1": "One", "p2": "Two"}
    reasons = {str(row["reason"]) for row in shop.rows("quarantine_core_items")}
    assert reasons == {"item_id is missing", "item_id is the name of its column: a header amid the rows"}
    assert sorted(str(row["user_id"]) for row in shop.rows("core_events")) == ["ann", "bob"]


def test_one_negative_value_beside_a_scale_means_not_rated(shop: Delivery) -> None:
    """-1 beside one to five stars means no rating; beside -2 it is a low one."""
    rows = [f"u{n},p1,rating,2026-05-0{n + 1}T08:00:00Z,{stars}" for n, stars in enumerate((5, 1, -1, -1))]
    (shop.folder / "events.csv").write_text("\n".join([f"{HEADER.strip()},rating", *rows]))
    shop.clean(landed_at=LANDED_AT)
    assert {row["user_id"]: row["rating"] for row in shop.rows("core_events")} == {"u0": 5.0, "u1": 1.0, "u2": None, "u3": None}
    assert shop.found().mended == {"rating is below 0": 2}
    (shop.folder / "events.csv").write_text("\n".join([f"{HEADER.strip()},rating", *rows[:3], rows[3].replace(",-1", ",-2")]))
    shop.clean(landed_at=LANDED_AT)
    assert {row["user_id"]: row["rating"] for row in shop.rows("core_events")} == {"u0": 5.0, "u1": 1.0, "u2": 0.0, "u3": 0.0}


def test_event_types_in_capitals_and_a_thumb_down(shop: Delivery) -> None:
    rows = ("ann,p1,View,2026-05-01T08:00:00Z,", "ann,p1,RATING,2026-05-01T09:00:00Z,-1", "bob,p1,rating,2026-05-01T09:00:00Z,1")
    (shop.folder / "events.csv").write_text("\n".join([f"{HEADER.strip()},rating", *rows]))
    shop.clean(landed_at=LANDED_AT)
    found = sorted((str(row["user_id"]), str(row["event_type"]), row["rating"]) for row in shop.rows("core_events"))
    assert found == [("ann", "rating", 0.0), ("ann", "view", None), ("bob", "rating", 1.0)]
    assert shop.found().mended == {"rating is below 0": 1}
    shop.clean("core_events", landed_at=LANDED_AT)  # of the same types, or these rows could not be merged
    assert len(shop.rows("core_events")) == 3
