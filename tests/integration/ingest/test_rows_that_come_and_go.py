"""Items, users and events that come late, leave or are cut off."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.ingest.clean import is_clean
from hybridrec.ingest.cleaning import EMPTY_ORDER, NOT_BOUGHT
from hybridrec.storage import store
from tests.support.delivery import LANDED_AT, Delivery

AT = "2026-01-01T10:00:00Z"
DAY = timedelta(days=1)


def items(delivery: Delivery) -> dict[object, tuple[object, object]]:
    """Return the standing and availability by item."""
    return {row["item_id"]: (row["standing"], row["is_available"]) for row in delivery.rows("core_items")}


def users(delivery: Delivery) -> dict[object, object]:
    """Return the standing by user."""
    return {row["user_id"]: row["standing"] for row in delivery.rows("core_users")}


HEAD = "user_id,item_id,event_type,event_at"


def test_an_item_known_a_day_late_gets_its_events(delivery: Delivery) -> None:
    delivery.file("items.csv", "item_id", "i1", "i2")
    delivery.file("events.csv", HEAD, f"ann,i1,purchase,{AT}", f"bea,i2,purchase,{AT}", f"ann,n1,purchase,{AT}")
    delivery.clean("core_items", "core_events")
    assert len(delivery.rows("core_events")) == 2
    assert delivery.found().refused == {"item_id is not in the catalogue": 1}
    delivery.file("items.csv", "item_id", "i1", "i2", "n1")
    delivery.file("events.csv", HEAD, "bea,i1,purchase,2026-01-02T08:00:00Z")
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
    delivery.file("items.csv", "item_id", "i1", "i2", "i3", "new")
    delivery.clean("core_items", "core_events")
    assert sorted(str(row["event_id"]) for row in delivery.rows("core_events")) == ["e1", "e9", "n1"]
    assert delivery.found().refused == {}


def test_repeats_wait_as_what_they_are(delivery: Delivery) -> None:
    delivery.file("items.csv", "item_id", "i1")
    delivery.file("events.csv", HEAD, *["ann,new,view,2026-01-01"] * 3, *["ann,i1,view,2026-01-01"] * 3)
    delivery.config = replace(delivery.config, max_events_per_day=100)
    delivery.clean("core_items", "core_events")
    delivery.file("items.csv", "item_id", "i1", "new")
    delivery.clean("core_items", "core_events")
    assert len(delivery.rows("core_events")) == 6


def test_items_that_have_left_are_there_and_not_available(delivery: Delivery) -> None:
    delivery.clean("core_items")
    delivery.file("items.csv", "item_id,title", "i1,One", "i9,Nine")
    delivery.events(f"e4,u4,i2,purchase,{AT},,")  # chosen on its last evening
    delivery.clean("core_items", "core_events")
    assert items(delivery) == {"i1": ("listed", True), "i9": ("listed", True), "i2": ("left", False), "i3": ("left", False)}
    assert {row["item_id"]: row["title"] for row in delivery.rows("core_items")}["i2"] == "Two"
    assert delivery.refused() == {}
    delivery.file("items.csv", "item_id,title", "i1,One", "i2,Two again")
    delivery.clean("core_items")
    assert items(delivery) == {"i1": ("listed", True), "i2": ("listed", True), "i9": ("left", False), "i3": ("left", False)}


def test_a_day_without_a_catalogue_loses_none_of_it(delivery: Delivery) -> None:
    delivery.clean("core_items")
    delivery.remove("items.csv")
    delivery.events(f"e2,u2,i9,view,{AT},,")
    delivery.clean("core_items")
    assert {row["item_id"]: (row["title"], row["standing"]) for row in delivery.rows("core_items")} == {
        "i1": ("One", "listed"), "i2": ("Two", "listed"), "i3": ("Three", "listed"), "i9": ("i9", "named"),
    }  # fmt: skip


def test_the_first_catalogue_makes_other_items_unavailable(delivery: Delivery) -> None:
    catalogue = (delivery.folder / "items.csv").read_text()
    delivery.remove("items.csv")
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,u1,odd,view,{AT},,")
    delivery.clean("core_items")
    assert items(delivery) == {"i1": ("named", True), "odd": ("named", True)}
    (delivery.folder / "items.csv").write_text(catalogue)
    delivery.clean("core_items")
    assert items(delivery)["odd"] == ("left", False)


def test_users_who_have_left_are_marked_and_those_whom_only_events_name_are_not(delivery: Delivery) -> None:
    delivery.remove("items.csv")
    delivery.events(f"e1,u1,i1,view,{AT},,", f"e2,guest,i1,view,{AT},,")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u1": "named", "guest": "named"}
    delivery.file("users.csv", "user_id,age_years", "u1,30", "u2,40")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u1": "listed", "u2": "listed", "guest": "named"}
    delivery.file("users.csv", "user_id,age_years", "u2,41")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u2": "listed", "guest": "named", "u1": "left"}
    assert len(delivery.rows("core_events")) == 2  # a table that was cut off by mistake has deleted nothing


def test_a_removed_user_is_forgotten(delivery: Delivery) -> None:
    delivery.remove("items.csv")
    delivery.events(*[f"e{n},u{n},i1,view,2026-01-0{n}T10:00:00Z,," for n in (1, 2, 3)])
    delivery.clean("core_users", "core_events")
    delivery.file("users.csv", "user_id,age_years,standing", "u1,33,Removed")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u1": "removed", "u2": "named", "u3": "named"}
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["e2", "e3"]
    assert delivery.rows("quarantine_core_events") == []  # where their rows would stay
    delivery.file("users.csv", "user_id,standing", "u3,removed")
    delivery.events("e4,u1,i1,view,2026-01-04T10:00:00Z,,", "e5,u2,i1,view,2026-01-04T10:00:00Z,,")
    delivery.clean("core_users", "core_events")
    assert users(delivery) == {"u1": "removed", "u2": "named", "u3": "removed"}
    assert {row["age_years"] for row in delivery.rows("core_users")} == {None}
    assert [row["event_id"] for row in delivery.rows("core_events")] == ["e2", "e5"]
    assert is_clean(delivery.settings, "files", "core_events", delivery.config)
    delivery.file("users.csv", "user_id,standing", "u2,erased")
    with pytest.raises(PermanentError, match="standing is none of listed, named, left, removed"):  # never taken for a user who stays
        delivery.clean("core_users")


def catalogue(delivery: Delivery, n: int) -> None:
    delivery.file("items.csv", "item_id,title", *[f"i{number},Thing {number}" for number in range(n)])


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
    delivery.clean("core_events")  # compared with the catalogue that has passed
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
    delivery.file("users.csv", "user_id", *[f"u{n}" for n in range(30)])
    delivery.ingest("core_users")
    delivery.file("users.csv", "user_id", "u1")
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


def test_an_order_without_items_and_one_that_buys_nothing_are_named(delivery: Delivery) -> None:
    delivery.config = replace(delivery.config, max_bad_share=0.9)
    delivery.file(
        "events.csv",
        "event_id,user_id,item_id,event_type,event_at,order_id,quantity",
        f"good,u1,i1,purchase,{AT},o1,2",
        f"by-weight,u1,i2,purchase,{AT},o1,0.5",
        f"unsaid,u1,i3,purchase,{AT},,",
        f"no-number,u2,i1,purchase,{AT},o2,some",
        f"looked,u2,i2,view,{AT},,0",
        f"empty,u2,,purchase,{AT},o3,1",
        f"returned,u1,i1,purchase,{AT},o4,-2",
        f"nothing,u1,i2,add_to_cart,{AT},,0",
        f"no-order,u2,,purchase,{AT},,1",
    )
    delivery.clean()
    kept = {row["event_id"]: (row["order_id"], row["quantity"]) for row in delivery.rows("core_events")}
    assert kept == {"good": ("o1", 2.0), "by-weight": ("o1", 0.5), "unsaid": (None, None), "no-number": ("o2", None), "looked": (None, 0.0)}
    assert delivery.refused() == {"empty": EMPTY_ORDER, "returned": NOT_BOUGHT, "nothing": NOT_BOUGHT, "no-order": "item_id is missing"}
    warnings = delivery.found().warnings
    assert f"core_events: 1 rows: {EMPTY_ORDER}" in warnings
    assert f"core_events: 2 rows: {NOT_BOUGHT}" in warnings


def test_users_opt_out_of_audiences_and_an_unreadable_answer_counts_as_yes(delivery: Delivery) -> None:
    delivery.events(f"e1,u1,i1,view,{AT},,")
    delivery.file("users.csv", "user_id,opted_out", "u1,true", "u2,false", "u3,", "u4,perhaps")
    delivery.clean()
    assert {row["user_id"]: row["opted_out"] for row in delivery.rows("core_users")} == {"u1": True, "u2": False, "u3": False, "u4": True}
