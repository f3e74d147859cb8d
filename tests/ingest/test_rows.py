"""What delivered rows mean: kinds of delivery that people really make, each with its right outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.ingest.clean import is_clean
from hybridrec.storage import store

from .conftest import LANDED_AT, Delivery

pytestmark = pytest.mark.slow
AT = "2026-01-01T10:00:00Z"
DAY = timedelta(days=1)


def file(delivery: Delivery, name: str, *rows: str) -> None:
    """Deliver a CSV file as it is, in place of one of that name."""
    path = delivery.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def remove(delivery: Delivery, *names: str) -> None:
    for name in names:
        (delivery.folder / name).unlink()


def items(delivery: Delivery) -> dict[object, tuple[object, object]]:
    """Standing and availability by item."""
    return {row["item_id"]: (row["standing"], row["is_available"]) for row in delivery.rows("core_items")}


def users(delivery: Delivery) -> dict[object, object]:
    """Standing by user."""
    return {row["user_id"]: row["standing"] for row in delivery.rows("core_users")}


# A wrong value of an optional column


def test_positions_from_zero_cost_no_event(delivery: Delivery) -> None:
    remove(delivery, "items.csv")
    shown = [f"{user},p{n},impression,2026-01-01T08:00:0{n}Z,{n}" for user in ("ann", "bea", "cid") for n in range(4)]
    clicks = [f"{user},p0,click,2026-01-01T08:01:00Z,0" for user in ("ann", "bea", "cid")]
    file(delivery, "events.csv", "user_id,item_id,event_type,event_at,position", *shown, *clicks)
    delivery.clean("core_events")
    rows = delivery.rows("core_events")
    assert len(rows) == 15
    assert sorted(row["position"] or 0 for row in rows) == [0] * 6 + [1] * 3 + [2] * 3 + [3] * 3
    found = delivery.found()
    assert (found.rows, found.good, found.refused, found.mended) == (15, 15, {}, {"position is below 1": 6})
    assert "core_events: position is below 1: all 6 rows of position 0" in found.warnings
    assert "core_events: position is below 1: all 3 rows of event_type click" in found.warnings
    assert "core_events: position is below 1: 6 values dropped, as '0'; their rows stay" in found.warnings


def test_a_wrong_optional_value_is_dropped_and_counted(delivery: Delivery) -> None:
    """Prices, ratings, ages, flags, dates: the row stays, and so do the events of its item."""
    delivery.config = replace(delivery.config, max_bad_share=0.9)
    rows = ["d1,Lamp,dear,yes,", "d2,Rug,-1,sold out,", "d3,Chair,Infinity,true,soon", "d4,Bowl,4,,2020-01-01"]
    file(delivery, "items.csv", "item_id,title,price,is_available,released_at", *rows)
    file(delivery, "users.csv", "user_id,age_years", "u1,200", "u2,-1", "u3,old", "u4,31")
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
    file(delivery, "items.csv", "item_id,price", "i1,dear", "i2,cheap", "i3,")
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
    """Of ten rows two may be bad; of a thousand a fifth is no accident."""
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
    remove(delivery, "items.csv")
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


# What an event_id says


@pytest.fixture
def bare(delivery: Delivery) -> Delivery:
    """Without a catalogue events are judged by themselves."""
    remove(delivery, "items.csv")
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
    for again in (tuesday, monday, monday[:2] + tuesday[4:]):  # whatever comes again is there
        bare.events(*again)
        bare.clean("core_events")
        assert {str(row["event_id"]) for row in bare.rows("core_events")} == ids


def test_both_files_in_one_delivery_are_the_same_twelve(bare: Delivery) -> None:
    remove(bare, "events.csv")
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


# Events without an id


def plays(*times: str) -> list[str]:
    return [f"{user},i{n},view,{at}" for user in ("ann", "bea", "cid", "dan") for n in (1, 2, 3) for at in times]


HEAD = "user_id,item_id,event_type,event_at"


def test_true_repeats_are_kept_and_a_file_that_comes_again_adds_none(bare: Delivery) -> None:
    rows = plays("2026-01-01", "2026-01-01", "2026-01-01")
    file(bare, "events.csv", HEAD, *rows)
    bare.clean("core_events")
    assert len(bare.rows("core_events")) == 36
    assert (bare.found().refused, bare.refused()) == ({}, {})
    first = bare.manifest().content_hash
    bare.clean("core_events")
    file(bare, "events.csv", HEAD, *reversed(rows))  # in another order
    bare.clean("core_events")
    file(bare, "events.csv", HEAD, *rows[::2])  # a part of it
    bare.clean("core_events")
    assert bare.manifest().content_hash == first
    file(bare, "events.csv", HEAD, *rows)
    file(bare, "events/copy.csv", HEAD, *rows)  # under two names
    bare.clean("core_events")
    assert bare.manifest().content_hash == first
    assert bare.found().refused == {"duplicate event: another file has one of the same user, item, type and time": 36}


@pytest.mark.parametrize(
    ("times", "n"), [(("2026-01-01T10:00",) * 2, 24), (("2026-01-01", "2026-01-02"), 24), (("2026-01-01T10:00:00Z",), 12)]
)
def test_repeats_of_other_coarseness(bare: Delivery, times: tuple[str, ...], n: int) -> None:
    file(bare, "events.csv", HEAD, *plays(*times))
    bare.clean("core_events")
    assert len(bare.rows("core_events")) == n
    assert bare.found().refused == {}


# Events of items that the catalogue learns later


def test_an_item_known_a_day_late_gets_its_events(delivery: Delivery) -> None:
    file(delivery, "items.csv", "item_id", "i1", "i2")
    file(delivery, "events.csv", HEAD, f"ann,i1,purchase,{AT}", f"bea,i2,purchase,{AT}", f"ann,n1,purchase,{AT}")
    delivery.clean("core_items", "core_events")
    assert len(delivery.rows("core_events")) == 2
    assert delivery.found().refused == {"item_id is not in the catalogue": 1}
    file(delivery, "items.csv", "item_id", "i1", "i2", "n1")
    file(delivery, "events.csv", HEAD, "bea,i1,purchase,2026-01-02T08:00:00Z")
    delivery.clean("core_items", "core_events", landed_at=LANDED_AT + DAY)
    assert [row["item_id"] for row in delivery.rows("core_events")].count("n1") == 1
    assert len(delivery.rows("core_events")) == 4
    assert delivery.found().notes == {"events that had waited for the catalogue": 1}
    assert delivery.rows("waiting_core_events") == []
    assert is_clean(delivery.settings, "files", "core_events", delivery.config)


def test_events_wait_as_long_as_the_option_says(delivery: Delivery) -> None:
    delivery.config = replace(delivery.config, wait_days=3)
    delivery.events(f"e1,u1,i1,view,{AT},,", f"n1,u1,new,view,{AT},,")
    delivery.clean("core_items", "core_events")
    delivery.events(f"e2,u1,i1,view,{AT},,")
    delivery.clean("core_items", "core_events", landed_at=LANDED_AT + 3 * DAY)
    assert delivery.refused() == {"n1": "item_id is not in the catalogue"}  # it waits, and is said to
    assert delivery.found().rows == 1  # but is no row of this delivery
    delivery.events(f"e3,u1,i1,view,{AT},,")
    delivery.clean("core_items", "core_events", landed_at=LANDED_AT + 4 * DAY)
    assert (delivery.refused(), delivery.rows("waiting_core_events")) == ({}, [])


def test_a_waiting_event_that_comes_again_is_one_event(delivery: Delivery) -> None:
    row = f"n1,u1,new,view,{AT},,"
    delivery.events(f"e1,u1,i1,view,{AT},,", row)
    delivery.clean("core_items", "core_events")
    delivery.events(f"e1,u1,i1,view,{AT},,", row, f"e9,u1,i2,view,{AT},,")
    delivery.clean("core_items", "core_events")
    assert len(delivery.rows("waiting_core_events")) == 1
    file(delivery, "items.csv", "item_id", "i1", "i2", "i3", "new")
    delivery.clean("core_items", "core_events")
    assert sorted(str(row["event_id"]) for row in delivery.rows("core_events")) == ["e1", "e9", "n1"]
    assert delivery.found().refused == {}


def test_repeats_wait_as_what_they_are(delivery: Delivery) -> None:
    file(delivery, "items.csv", "item_id", "i1")
    file(delivery, "events.csv", HEAD, *["ann,new,view,2026-01-01"] * 3, *["ann,i1,view,2026-01-01"] * 3)
    delivery.config = replace(delivery.config, max_events_per_day=100)
    delivery.clean("core_items", "core_events")
    file(delivery, "items.csv", "item_id", "i1", "new")
    delivery.clean("core_items", "core_events")
    assert len(delivery.rows("core_events")) == 6


# What has left a full delivery


def test_items_that_have_left_are_there_and_not_available(delivery: Delivery) -> None:
    delivery.clean("core_items")
    file(delivery, "items.csv", "item_id,title", "i1,One", "i9,Nine")
    delivery.events(f"e4,u4,i2,purchase,{AT},,")  # bought on its last evening
    delivery.clean("core_items", "core_events")
    assert items(delivery) == {"i1": ("listed", True), "i9": ("listed", True), "i2": ("left", False), "i3": ("left", False)}
    assert {row["item_id"]: row["title"] for row in delivery.rows("core_items")}["i2"] == "Two"
    assert delivery.refused() == {}
    file(delivery, "items.csv", "item_id,title", "i1,One", "i2,Two again")
    delivery.clean("core_items")
    assert items(delivery) == {"i1": ("listed", True), "i2": ("listed", True), "i9": ("left", False), "i3": ("left", False)}


def test_a_day_without_a_catalogue_loses_none_of_it(delivery: Delivery) -> None:
    delivery.clean("core_items")
    remove(delivery, "items.csv")
    delivery.events(f"e2,u2,i9,view,{AT},,")
    delivery.clean("core_items")
    assert {row["item_id"]: (row["title"], row["standing"]) for row in delivery.rows("core_items")} == {
        "i1": ("One", "listed"), "i2": ("Two", "listed"), "i3": ("Three", "listed"), "i9": ("i9", "named"),
    }  # fmt: skip


def test_the_first_catalogue_makes_other_items_unavailable(delivery: Delivery) -> None:
    catalogue = (delivery.folder / "items.csv").read_text()
    remove(delivery, "items.csv")
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,u1,odd,view,{AT},,")
    delivery.clean("core_items")
    assert items(delivery) == {"i1": ("named", True), "odd": ("named", True)}
    (delivery.folder / "items.csv").write_text(catalogue)
    delivery.clean("core_items")
    assert items(delivery)["odd"] == ("left", False)


def test_users_who_have_left_are_marked_and_those_whom_only_events_name_are_not(delivery: Delivery) -> None:
    remove(delivery, "items.csv")
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,guest,i1,view,{AT},,")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u1": "named", "guest": "named"}
    file(delivery, "users.csv", "user_id,age_years", "u1,30", "u2,40")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u1": "listed", "u2": "listed", "guest": "named"}
    file(delivery, "users.csv", "user_id,age_years", "u2,41")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u2": "listed", "guest": "named", "u1": "left"}
    assert len(delivery.rows("core_events")) == 2  # a table that was cut off by mistake has deleted nothing


def test_a_removed_user_is_forgotten(delivery: Delivery) -> None:
    remove(delivery, "items.csv")
    delivery.events(*[f"e{n},u{n},i1,view,2026-01-0{n}T10:00:00Z,," for n in (1, 2, 3)])
    delivery.clean("core_users", "core_events")
    file(delivery, "users.csv", "user_id,age_years,standing", "u1,33,Removed")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u1": "removed", "u2": "named", "u3": "named"}
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["e2", "e3"]
    assert delivery.rows("quarantine_core_events") == []  # where their rows would stay
    file(delivery, "users.csv", "user_id,standing", "u3,removed")
    delivery.events("e4,u1,i1,view,2026-01-04T10:00:00Z,,", "e5,u2,i1,view,2026-01-04T10:00:00Z,,")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u1": "removed", "u2": "named", "u3": "removed"}
    assert {row["age_years"] for row in delivery.rows("core_users")} == {None}
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["e2", "e5"]
    assert is_clean(delivery.settings, "files", "core_events", delivery.config)
    file(delivery, "users.csv", "user_id,standing", "u2,erased")
    with pytest.raises(PermanentError, match="standing is none of listed, named, left, removed"):  # never taken for a user who stays
        delivery.clean("core_users")


# Only what has passed its check counts


def catalogue(delivery: Delivery, n: int) -> None:
    file(delivery, "items.csv", "item_id,title", *[f"i{number},Thing {number}" for number in range(n)])


def test_a_catalogue_that_was_cut_off_never_becomes_the_table(delivery: Delivery) -> None:
    catalogue(delivery, 40)
    delivery.ingest("core_items")
    passed = delivery.manifest("core_items")
    catalogue(delivery, 12)
    for _ in range(3):  # cleared, and cleared again
        with pytest.raises(
            PermanentError, match=r"expect_table_row_count_to_be_between\(table, min_value 20.*found 12.*--accept-shrink"
        ) as error:
            delivery.ingest("core_items")
        assert "the night goes on with the table as it last passed" in str(error.value)
        assert delivery.manifest("core_items") == passed
    delivery.events(f"e1,u1,i39,view,{AT},,")
    delivery.clean("core_events")  # held against the catalogue that has passed
    assert delivery.refused() == {}
    catalogue(delivery, 38)
    delivery.ingest("core_items")
    assert [standing for standing, _ in items(delivery).values()].count("left") == 2


def test_a_person_can_accept_fewer_rows(delivery: Delivery) -> None:
    catalogue(delivery, 40)
    delivery.ingest("core_items")
    catalogue(delivery, 12)
    with pytest.raises(PermanentError, match=r"or lower \[night\] min_kept_share"):
        delivery.ingest("core_items")
    delivery.ingest("core_items", accept_shrink=True)
    assert [standing for standing, _ in items(delivery).values()].count("listed") == 12
    delivery.ingest("core_items")  # compared with the twelve
    catalogue(delivery, 5)
    delivery.config = replace(delivery.config, min_kept_share=0.3)
    delivery.ingest("core_items")
    assert [standing for standing, _ in items(delivery).values()].count("listed") == 5


def test_a_user_table_that_was_cut_off_and_an_empty_first_one(delivery: Delivery) -> None:
    file(delivery, "users.csv", "user_id", *[f"u{n}" for n in range(30)])
    delivery.ingest("core_users")
    file(delivery, "users.csv", "user_id", "u1")
    with pytest.raises(PermanentError, match=r"core_users of files: .*min_value 15.*found 1"):
        delivery.ingest("core_users")
    assert set(users(delivery).values()) == {"listed"}


def test_events_that_failed_their_check_come_in_with_the_next_that_pass(delivery: Delivery) -> None:
    delivery.config = replace(delivery.config, max_event_age_days=2)
    delivery.clean("core_items")
    delivery.events("e1,u1,i1,view,2026-01-31T10:00:00Z,,")
    delivery.ingest("core_events")
    passed = delivery.manifest()
    delivery.events("e2,u1,i2,view,2026-01-31T11:00:00Z,,")
    with pytest.raises(PermanentError, match="expect_column_max_to_be_between"):
        delivery.ingest("core_events", landed_at=LANDED_AT + 5 * DAY)
    assert delivery.manifest() == passed
    delivery.events("e3,u1,i3,view,2026-02-07T11:00:00Z,,")
    delivery.ingest("core_events", landed_at=LANDED_AT + 7 * DAY)
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["e1", "e2", "e3"]
    assert store.pending(delivery.dataset("core_events")) is None
