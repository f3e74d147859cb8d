"""Lines of the look-up's log land beside a source's delivery."""

from __future__ import annotations

import random
import shutil
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hybridrec.feedback import judging
from hybridrec.feedback.outcomes import outcomes
from hybridrec.ingest import served
from hybridrec.ingest.clean import is_clean
from hybridrec.storage import store
from tests.support.delivery import LANDED_AT, Delivery
from tests.support.logging_process import SERVED_AT, event_line, served_line, write_log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = timedelta(days=1)


def ingest(delivery: Delivery, served_lines: list[bytes], events: list[bytes], landed_at: datetime = LANDED_AT) -> None:
    write_log(delivery.settings.served, served_lines, events)
    delivery.clean(landed_at=landed_at)


def events_of(delivery: Delivery) -> dict[str, dict[str, object]]:
    rows = delivery.rows("core_events")
    return {str(row["event_id"]).removeprefix(judging.PREFIX): row for row in rows if str(row["event_id"]).startswith(judging.PREFIX)}


def refused(delivery: Delivery) -> dict[str, str]:
    return delivery.refused("feedback")


def test_lists_and_events_are_in_the_tables_once(delivery: Delivery) -> None:
    drawn = {"experiment": "cart", "variant": "b", "arm": "bold", "arm_probability": 0.25, "slot_probabilities": (1.0, 0.5, 1.0)}
    lists = [served_line(1, **drawn), served_line(2, user_id="")]
    events = [event_line("e1", 1), event_line("e2", 1, "impression", "i1", position=7), event_line("e3", 2, "purchase", "i3", user_id="u9")]
    ingest(delivery, [*lists, lists[0]], [*events, events[0]])
    first, second = sorted(delivery.rows("core_served"), key=lambda row: str(row["recommendation_id"]))
    assert (first["arm"], first["arm_probability"], first["slot_probabilities"]) == ("bold", 0.25, [1.0, 0.5, 1.0])
    assert (second["user_id"], second["item_ids"], second["served_at"]) == ("", ["i1", "i2", "i3"], SERVED_AT + timedelta(seconds=2))
    of = ("user_id", "item_id", "event_type", "position", "recommendation_id", "experiment_id", "page")
    assert {name: tuple(row[column] for column in of) for name, row in events_of(delivery).items()} == {
        "e1": ("u1", "i2", "click", 2, f"{1:032x}", "cart/b", "recommendations"),
        "e2": ("u1", "i1", "impression", 7, f"{1:032x}", "cart/b", "recommendations"),
        "e3": ("u9", "i3", "purchase", 3, f"{2:032x}", None, "recommendations"),
    }
    assert "e1" in {row["event_id"] for row in delivery.rows("core_events")}  # the source's own, of the same name
    assert delivery.found("feedback").notes == {"lists": 3, "events": 4, "events that came again": 1, "clicks": 1}
    before = delivery.manifest(), delivery.manifest("core_served")
    ingest(delivery, lists, events, LANDED_AT + DAY)
    assert [state.content_hash for state in before] == [delivery.manifest(name).content_hash for name in ("core_events", "core_served")]
    assert delivery.found("feedback").warnings == () and refused(delivery) == {}


def test_an_impossible_event_is_refused_with_a_reason_and_costs_nothing_else(delivery: Delivery) -> None:
    lists = [served_line(1), served_line(2, user_id=""), served_line(4, served_at=LANDED_AT + DAY)]
    at = SERVED_AT + timedelta(minutes=10)
    events = [
        event_line("good", 1),
        event_line("stranger", 3),
        event_line("other", 1, user_id="u2"),
        event_line("no one", 2, user_id=None),
        event_line("elsewhere", 1, item_id="i9"),
        event_line("tomorrow", 1, event_at=at + DAY, received_at=at),
        event_line("before", 1, event_at=SERVED_AT - timedelta(minutes=10)),
        event_line("twice", 1, received_at=at),
        event_line("twice", 1, "purchase", received_at=at + timedelta(seconds=1)),
        event_line("fast clock", 1, event_at=at + timedelta(minutes=4), received_at=at),
    ]
    ingest(delivery, lists, events)
    assert refused(delivery) == {
        "stranger": judging.UNKNOWN,
        "other": judging.OTHER_USER,
        "no one": judging.NO_USER,
        "elsewhere": judging.OTHER_ITEM,
        "tomorrow": judging.AHEAD,
        "before": judging.BEFORE,
        "twice": judging.CONFLICT,
    }
    assert {name: row["event_type"] for name, row in events_of(delivery).items()} == {
        "good": "click",
        "twice": "click",
        "fast clock": "click",
    }
    assert [row["reason"] for row in delivery.rows("quarantine_core_served")] == [judging.SERVED_AHEAD]
    found = delivery.found("feedback")
    assert found.notes["recommendations with two users"] == 1 and found.notes["clicks of unknown recommendations"] == 1
    assert found.warnings == ("1 recommendations have two users: their answers were kept in a cache, which must not be",)
    assert delivery.found().refused == {}
    ingest(delivery, [], [event_line("good", 1, "purchase")], LANDED_AT + DAY)
    assert refused(delivery)["good"] == judging.CONFLICT and events_of(delivery)["good"]["event_type"] == "click"


def test_an_event_waits_for_its_list_and_for_its_time(delivery: Delivery) -> None:
    ahead = LANDED_AT + timedelta(minutes=3)
    ingest(delivery, [served_line(1)], [event_line("early", 2), event_line("ahead", 1, event_at=ahead, received_at=LANDED_AT)])
    assert refused(delivery) == {"early": judging.UNKNOWN, "ahead": judging.NOT_YET}
    assert len(delivery.rows(served.WAITING)) == 2
    ingest(delivery, [served_line(2)], [], LANDED_AT + DAY)
    assert set(events_of(delivery)) == {"early", "ahead"}
    assert refused(delivery) == {} and delivery.rows(served.WAITING) == []
    ingest(delivery, [], [event_line("never", 3)], LANDED_AT + DAY)
    ingest(delivery, [served_line(5)], [], LANDED_AT + 32 * DAY)
    assert delivery.rows(served.WAITING) == []


def test_a_list_of_other_content_under_the_same_id_is_refused(delivery: Delivery) -> None:
    ingest(delivery, [served_line(1), served_line(1, user_id="u2", served_at=SERVED_AT + timedelta(hours=1))], [])
    assert [row["user_id"] for row in delivery.rows("core_served")] == ["u1"]
    ingest(delivery, [served_line(1, item_ids=("i3",))], [])
    assert [row["item_ids"] for row in delivery.rows("core_served")] == [["i1", "i2", "i3"]]
    assert [row["reason"] for row in delivery.rows("quarantine_core_served")] == [judging.SERVED_CONFLICT]


def test_an_ingest_that_ends_in_the_middle_takes_the_same_lines_again(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise OSError("killed")

    write_log(delivery.settings.served, [served_line(1)], [event_line("e1", 1)])
    with monkeypatch.context() as patch:
        patch.setattr(served, "settle", killed)
        with pytest.raises(OSError, match="killed"):
            delivery.clean()
    delivery.clean(landed_at=LANDED_AT + DAY)
    assert set(events_of(delivery)) == {"e1"} and len(delivery.rows("core_served")) == 1
    delivery.clean(landed_at=LANDED_AT + 2 * DAY)
    assert delivery.found("feedback").notes == {}
    assert is_clean(delivery.settings, "files", "core_events", delivery.config)


def test_without_a_log_ingest_is_as_it_was(delivery: Delivery) -> None:
    delivery.clean()
    names = {path.name for path in delivery.settings.warehouse("files").iterdir()}
    assert names == {
        "raw",
        "core_items",
        "quarantine_core_items",
        "findings_core_items",
        "core_events",
        "quarantine_core_events",
        "findings_core_events",
    }
    assert delivery.dataset("raw").is_dir() and not list(delivery.dataset("raw").glob("*/feedback.json"))


def test_users_who_are_to_be_forgotten_are_in_no_list(delivery: Delivery) -> None:
    delivery.file("users.csv", "user_id", "u1", "u2")
    delivery.events("e1,u1,i1,view,2026-01-01T10:00:00Z,,", "e2,u2,i1,view,2026-01-01T10:00:00Z,,")
    ingest(delivery, [served_line(1), served_line(2, user_id="u2")], [event_line("e1", 1), event_line("e2", 2, user_id="u2")])
    assert len(delivery.rows("core_served")) == 2
    delivery.file("users.csv", "user_id,standing", "u1,removed", "u2,listed")
    ingest(delivery, [served_line(3), served_line(4, user_id="u2")], [event_line("e3", 3)], LANDED_AT + DAY)
    assert {row["user_id"] for row in delivery.rows("core_served")} == {"u2"}
    assert set(events_of(delivery)) == {"e2"}
    assert "u1" not in str(delivery.rows("quarantine_feedback"))


def test_twice_shuffled_and_late_gives_the_same_tables(delivery: Delivery, spark: SparkSession) -> None:
    rng = random.Random(7)
    lists = [served_line(n, user_id=f"u{n % 5}") for n in range(40)]
    kinds = [
        (n, kind, item)
        for n in range(40)
        for kind, item in (("impression", "i1"), ("impression", "i2"), ("click", "i2"))
        if rng.random() < 0.6
    ]
    events = [event_line(f"e{k}", n, kind, item, user_id=f"u{n % 5}") for k, (n, kind, item) in enumerate(kinds)]
    delivery.config = type(delivery.config)()  # with no robots among five users

    def tables() -> tuple[str, str, list[tuple[object, ...]]]:
        lists, events = (
            spark.read.parquet(*map(str, store.committed_files(delivery.dataset(name)))) for name in ("core_served", "core_events")
        )
        rows = outcomes(lists, events, delivery.config, LANDED_AT).orderBy("recommendation_id", "position").collect()
        return delivery.manifest().content_hash, delivery.manifest("core_served").content_hash, [tuple(row) for row in rows]

    ingest(delivery, lists, events)
    once = tables()
    assert len(once[2]) == 120 and any(row[-2] for row in once[2])
    for folder in (delivery.settings.warehouse("files"), delivery.settings.served):
        shutil.rmtree(folder)
    late = set(rng.sample(range(len(events)), len(events) // 10))
    first = [line for k, line in enumerate(events) if k not in late for _ in range(2)]
    second = [events[k] for k in late for _ in range(2)] + rng.sample(events, 20)
    for lines in (first, second):
        rng.shuffle(lines)
    ingest(delivery, rng.sample(lists, 40) + rng.sample(lists, 15), first)
    ingest(delivery, rng.sample(lists, 40), second, LANDED_AT)
    assert tables() == once
