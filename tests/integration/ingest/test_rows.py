"""The meaning of delivered rows: kinds of delivery that people really make, each with its right outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hybridrec.base.errors import PermanentError
from tests.support.delivery import Delivery

AT = "2026-01-01T10:00:00Z"


def test_positions_from_zero_cost_no_event(delivery: Delivery) -> None:
    delivery.remove("items.csv")
    shown = [f"{user},p{n},impression,2026-01-01T08:00:0{n}Z,{n}" for user in ("ann", "bea", "cid") for n in range(4)]
    clicks = [f"{user},p0,click,2026-01-01T08:01:00Z,0" for user in ("ann", "bea", "cid")]
    delivery.file("events.csv", "user_id,item_id,event_type,event_at,position", *shown, *clicks)
    delivery.clean("core_events")
    rows = delivery.rows("core_events")
    assert len(rows) == 15
    assert sorted(int(str(row["position"] or 0)) for row in rows) == [0] * 6 + [1] * 3 + [2] * 3 + [3] * 3
    found = delivery.found()
    assert (found.rows, found.good, found.refused, found.mended) == (15, 15, {}, {"position is below 1": 6})
    assert "core_events: position is below 1: all 6 rows of position 0" in found.warnings
    assert "core_events: position is below 1: all 3 rows of event_type click" in found.warnings
    assert "core_events: position is below 1: 6 values dropped, as '0'; their rows stay" in found.warnings


def test_a_wrong_optional_value_is_dropped_and_counted(delivery: Delivery) -> None:
    """Prices, ratings, ages, flags, dates: the row stays, and so do the events of its item."""
    delivery.config = replace(delivery.config, max_bad_share=0.9)
    rows = ["d1,Lamp,dear,yes,", "d2,Rug,-1,sold out,", "d3,Chair,Infinity,true,soon", "d4,Bowl,4,,2020-01-01"]
    delivery.file("items.csv", "item_id,title,price,is_available,released_at", *rows)
    delivery.file("users.csv", "user_id,age_years", "u1,200", "u2,-1", "u3,old", "u4,31")
    delivery.events(*[f"e{n},u{n},d{n},rating,{AT},{rating}," for n, rating in enumerate(("11", "five", "-3", "4"), 1)])
    delivery.clean("core_items", "core_users", "core_events")
    assert [(row["item_id"], row["price"], row["is_available"]) for row in delivery.rows("core_items")] == [
        ("d1", None, True), ("d2", None, False), ("d3", None, True), ("d4", 4.0, True),
    ]  # fmt: skip
    assert [row["age_years"] for row in delivery.rows("core_users")] == [None, None, None, 31]
    assert [row["rating"] for row in delivery.rows("core_events")] == [None, None, 0.0, 4.0]  # a thumb down is no like
    assert delivery.found("core_items").mended == {
        "is_available is not of type bool": 1,
        "price is below 0": 1,
        "price is not finite": 1,
        "price is not of type float32": 1,
        "released_at is not of type timestamp": 1,
    }
    assert delivery.found("core_users").mended == {
        "age_years is above 130": 1,
        "age_years is below 0": 1,
        "age_years is not of type int32": 1,
    }
    assert sum(delivery.found().mended.values()) == 3
    assert all(not delivery.refused(name) for name in ("core_items", "core_users", "core_events"))


def test_a_column_a_day_or_a_type_that_is_lost_is_said(delivery: Delivery) -> None:
    delivery.file("items.csv", "item_id,price", "i1,dear", "i2,cheap", "i3,")
    late = [f"l{n},u{n},i1,view,1969-12-30T10:00:00Z,," for n in range(2)]
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,u2,i1,view,{AT},,", f"s1,u1,i1,stare,{AT},,", f"s2,u2,i1,stare,{AT},,", *late)
    delivery.config = replace(delivery.config, max_bad_share=0.9)
    delivery.clean("core_items", "core_events")
    assert "core_items: price: none of 2 delivered values can be used" in delivery.found("core_items").warnings
    warnings = delivery.found().warnings
    assert any(
        text.startswith("core_events: event_type is none of") and text.endswith("all 2 rows of event_type stare") for text in warnings
    )
    assert "core_events: event_at is before 1970: all 2 rows of day 1969-12-30" in warnings
    assert "core_events: 4 of 6 rows are refused" in warnings


def test_a_large_delivery_is_refused_sooner_than_a_small_one(delivery: Delivery) -> None:
    """Two bad rows of ten may be an accident; a fifth of a thousand is none."""
    delivery.events(*[f"e{n},{'u' * (n > 1)},i1,view,{AT},," for n in range(10)], name="events.csv")
    delivery.config = replace(delivery.config, max_events_per_day=10_000)
    delivery.clean("core_items", "core_events")
    assert delivery.found().good == 8
    delivery.events(*[f"e{n},{'u' * (n > 249)},i1,view,{AT},," for n in range(1_250)])
    with pytest.raises(
        PermanentError, match=r"250 of 1250 rows are bad \(user_id is missing: 250\); expected a good row and at most 10% bad ones"
    ):
        delivery.clean("core_events")


def test_nulls_in_lists_drop_out_and_overlong_ids_are_refused(delivery: Delivery) -> None:
    delivery.remove("items.csv")
    (delivery.folder / "items.jsonl").write_text(
        '{"item_id": "i1", "categories": ["lamps", null]}\n{"item_id": "i2", "categories": [null]}\n'
        f'{{"item_id": "{"x" * 513}"}}\n{{"item_id": "{"y" * 512}"}}\n'
    )
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,{'u' * 513},i1,view,{AT},,", f"{'e' * 513},u3,i1,view,{AT},,")
    delivery.clean("core_items", "core_events")
    assert {row["item_id"]: row["categories"] for row in delivery.rows("core_items")} == {"i1": ["lamps"], "i2": [], "y" * 512: []}
    assert list(delivery.refused("core_items").values()) == ["item_id is longer than 512 characters"]
    assert delivery.refused() == {"e2": "user_id is longer than 512 characters"}
    assert sorted(str(row["user_id"]) for row in delivery.rows("core_events")) == ["u1", "u3"]  # an id of the event's own is no loss
    assert delivery.found().mended == {"event_id is longer than 512 characters": 1}


@pytest.fixture
def bare(delivery: Delivery) -> Delivery:
    """Provide a delivery without a catalogue, in which events are checked on their own."""
    delivery.remove("items.csv")
    delivery.config = replace(delivery.config, max_events_per_day=100)
    return delivery


def days(delivery: Delivery) -> list[tuple[str, str, str]]:
    return sorted((str(row["event_date"])[-2:], str(row["user_id"]), str(row["item_id"])) for row in delivery.rows("core_events"))


def test_ids_that_start_anew_in_every_file_name_different_events(bare: Delivery) -> None:
    monday = [f"{n},mon{n},i1,purchase,2026-01-05T08:00:0{n}Z,," for n in range(1, 7)]
    tuesday = [f"{n},tue{n},i2,purchase,2026-01-06T08:00:0{n}Z,," for n in range(1, 7)]
    bare.events(*monday)
    bare.clean("core_events")
    bare.events(*tuesday)
    bare.clean("core_events")
    twelve = days(bare)
    assert len(twelve) == 12
    assert bare.found().notes == {"ids that named several events": 6}
    assert bare.found().warnings[0].startswith("core_events: 6 values of event_id name several users or items")
    assert bare.refused() == {}
    ids = {str(row["event_id"]) for row in bare.rows("core_events")}
    assert {"1", "6"} <= ids
    bare.events(*monday[:2] + tuesday[4:])  # they come again and are there
    bare.clean("core_events")
    assert {str(row["event_id"]) for row in bare.rows("core_events")} == ids


def test_both_files_in_one_delivery_are_the_same_twelve(bare: Delivery) -> None:
    bare.remove("events.csv")
    for day, user in (("05", "mon"), ("06", "tue")):
        bare.events(*[f"{n},{user}{n},i1,purchase,2026-01-{day}T08:00:0{n}Z,," for n in range(1, 7)], name=f"events/{day}.csv")
    bare.clean("core_events")
    assert len(days(bare)) == 12
    assert bare.found().refused == {}


def test_a_regular_buyer_does_not_disappear_among_shared_ids(bare: Delivery) -> None:
    """ann's first event of both days is of the same item: with ids that are shared it is no correction."""
    bare.events("1,ann,i1,view,2026-01-05T08:00:00Z,,", "2,bea,i1,view,2026-01-05T08:00:01Z,,")
    bare.clean("core_events")
    bare.events("1,ann,i1,view,2026-01-06T08:00:00Z,,", "2,cid,i2,view,2026-01-06T08:00:01Z,,")
    bare.clean("core_events")
    assert days(bare) == [("05", "ann", "i1"), ("05", "bea", "i1"), ("06", "ann", "i1"), ("06", "cid", "i2")]


def test_a_repetition_and_a_correction_stay_one_event(bare: Delivery) -> None:
    bare.events(f"a,u1,i1,rating,{AT},2,", f"b,u2,i1,view,{AT},,", f"b,u2,i1,view,{AT},,")
    bare.clean("core_events")
    assert bare.found().refused == {"duplicate event_id": 1}
    bare.events("a,u1,i1,rating,2026-01-03T10:00:00Z,5,")
    bare.clean("core_events")
    assert {row["event_id"]: row["rating"] for row in bare.rows("core_events")} == {"a": 5.0, "b": None}
    assert bare.found().notes == {"ids whose event replaces one of another time or type": 1}


def plays(*times: str) -> list[str]:
    return [f"{user},i{n},view,{at}" for user in ("ann", "bea", "cid", "dan") for n in (1, 2, 3) for at in times]


HEAD = "user_id,item_id,event_type,event_at"


def test_true_repeats_are_kept_and_a_file_that_comes_again_adds_none(bare: Delivery) -> None:
    rows = plays("2026-01-01", "2026-01-01", "2026-01-01")
    bare.file("events.csv", HEAD, *rows)
    bare.clean("core_events")
    assert len(bare.rows("core_events")) == 36
    assert (bare.found().refused, bare.refused()) == ({}, {})
    first = bare.manifest().content_hash
    bare.clean("core_events")
    bare.file("events.csv", HEAD, *reversed(rows))  # in another order
    bare.clean("core_events")
    bare.file("events.csv", HEAD, *rows[::2])  # a part of it
    bare.clean("core_events")
    assert bare.manifest().content_hash == first
    bare.file("events.csv", HEAD, *rows)
    bare.file("events/copy.csv", HEAD, *rows)  # under two names
    bare.clean("core_events")
    assert bare.manifest().content_hash == first
    assert bare.found().refused == {"duplicate event: another file has one of the same user, item, type and time": 36}


@pytest.mark.parametrize(
    ("times", "n"), [(("2026-01-01T10:00",) * 2, 24), (("2026-01-01", "2026-01-02"), 24), (("2026-01-01T10:00:00Z",), 12)]
)
def test_repeats_of_other_coarseness(bare: Delivery, times: tuple[str, ...], n: int) -> None:
    bare.file("events.csv", HEAD, *plays(*times))
    bare.clean("core_events")
    assert len(bare.rows("core_events")) == n
    assert bare.found().refused == {}
