"""The look-up logs what it serves and takes the events that follow."""

from __future__ import annotations

import http.client
import json
import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hybridrec.feedback.append_log import AppendLog, Limits
from hybridrec.feedback.lines import EVENTS, MAX_EVENTS, SERVED
from hybridrec.serving import lookup
from hybridrec.serving.http_edge import MAX_BODY
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import DRAWN, POPULAR_SURFACE
from tests.support.published_rows import publish
from tests.support.serving import READS, Client, ids, serving

LISTS = ("/recommendations/u00001?k=3", "/recommendations/nobody?k=4", "/recommendations/u00002?surface=email", "/popular?k=2")


def logged(log: AppendLog, kind: str) -> list[dict[str, Any]]:
    log.flush()
    texts = [path.read_text() for path in sorted(log.folder.glob(f"{kind}-*.jsonl"))]
    return [json.loads(line) for line in "".join(texts).splitlines()]


def event(**changes: object) -> dict[str, object]:
    values: dict[str, object] = {
        "event_id": "e1",
        "recommendation_id": "5f0c2a9e7b1d4c38a6e2f9d0b7c4e135",
        "event_type": "click",
        "item_id": "i001",
        "event_at": "2026-04-11T09:30:12Z",
        "position": 2,
        "user_id": "u00001",
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def test_each_list_has_an_id_of_its_own_and_a_line(client: Client, feedback_log: AppendLog) -> None:
    before = datetime.now(UTC)
    answers = [client.get(path)[1] for path in (*LISTS, *LISTS)]
    lines = logged(feedback_log, SERVED)
    assert len({answer["recommendation_id"] for answer in answers}) == 8
    assert [line["recommendation_id"] for line in lines] == [answer["recommendation_id"] for answer in answers]
    assert [line["item_ids"] for line in lines] == [ids(answer) for answer in answers]
    of = ("user_id", "surface", "k", "version", "run_id", "altered", "experiment", "arm_probability")
    assert [tuple(line[name] for name in of) for line in lines[:4]] == [
        ("u00001", "recommendations", 3, "v1", "run-v1", False, None, None),
        ("nobody", "recommendations", 4, "v1", "run-v1", False, None, None),
        ("u00002", "email", 20, "v1", "run-v1", False, None, None),
        ("", POPULAR_SURFACE, 2, "v1", "run-v1", False, None, None),
    ]
    times = [datetime.fromisoformat(line["served_at"]) for line in lines]
    assert sorted(times) == times and before <= times[0] <= times[-1] <= datetime.now(UTC)


def test_a_list_is_altered_if_an_excluded_item_was_in_its_way(client: Client, feedback_log: AppendLog) -> None:
    own = ids(client.get("/recommendations/u00001?k=5")[1])
    for path in (f"u00001?k=3&exclude={own[0]}", f"u00001?k=3&exclude={own[4]}", "u00001?exclude=elsewhere", "nobody?k=2&exclude=i000"):
        client.get(f"/recommendations/{path}")
    assert [line["altered"] for line in logged(feedback_log, SERVED)] == [False, True, False, False, True]


@pytest.mark.parametrize("path", [*READS, "/trending", "/buy-again/u00002"])
def test_no_answer_may_be_cached(client: Client, path: str) -> None:
    status, headers, _ = client.ask(path)
    assert (status, headers["Cache-Control"]) == (200, "no-store")


def test_what_is_no_list_or_goes_without_its_body_leaves_no_line(client: Client, feedback_log: AppendLog) -> None:
    for path in ("/health", "/items/i003/similar", "/trending", "/recommendations/u?k=0", "/recommendations/u?surface=nowhere"):
        client.ask(path)
    for path in LISTS:
        client.ask(path, "HEAD")
    assert logged(feedback_log, SERVED) == []


def show(path: Path, view: str) -> None:
    """Put another view in the place of recommendations."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP VIEW recommendations")
        db.execute(view)


def test_what_the_night_has_drawn_is_in_the_line_and_not_in_the_answer(
    tmp_path: Path, feedback_log: AppendLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recommendations.db"
    publish(SqliteTarget(path), "v1", "one")
    drawn = ("'cart'", "'b'", "'bold'", "0.25", "json('[1.0,1.0,0.125,1.0,1.0]')")
    with serving(path, feedback_log=feedback_log) as client:
        with closing(sqlite3.connect(path)) as db:
            [(view,)] = db.execute("SELECT sql FROM sqlite_master WHERE name = 'recommendations'")
        before, after = view, view
        for name, value in zip(DRAWN, drawn, strict=True):
            before, after = before.replace(f', t."{name}"', ""), after.replace(f't."{name}"', f"{value} AS {name}")
        assert before != view != after
        show(path, before)
        assert client.get("/recommendations/u00001")[1]["experiment"] is None  # of a view that an earlier release has made
        show(path, after)
        own = ids(client.get("/recommendations/u00001")[1])
        _, answer = client.get("/recommendations/u00001?k=3")
        client.get(f"/recommendations/u00001?k=3&exclude={own[0]}")
    assert (answer["experiment"], answer["variant"]) == ("cart", "b")
    assert not {"arm", "arm_probability", "slot_probabilities", "altered"} & set(answer)
    former, _, line, altered = logged(feedback_log, SERVED)
    assert [former[name] for name in DRAWN] == [None] * 5
    assert [line[name] for name in DRAWN] == ["cart", "b", "bold", 0.25, [1.0, 1.0, 0.125]]
    assert (altered["altered"], altered["arm_probability"], altered["slot_probabilities"]) == (True, 0.25, None)


def test_events_are_taken_and_written_with_the_time_of_their_arrival(client: Client, feedback_log: AppendLog) -> None:
    sent = [event(), event(event_id="e2", event_type="impression", position=None, user_id=None)]
    assert client.post("/events", {"events": sent}) == (202, {"accepted": 2})
    first, second = logged(feedback_log, EVENTS)
    received = datetime.fromisoformat(first.pop("received_at"))
    assert datetime.now(UTC) - received < timedelta(minutes=1)
    assert first == sent[0]
    assert (second["event_id"], second["position"], second["user_id"]) == ("e2", None, None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"item": "i001"}, "events.0.item is 'i001': there is no such field"),
        ({"event_type": "like"}, "events.0.event_type is 'like': input should be 'impression', 'click', 'add_to_cart' or 'purchase'"),
        ({"recommendation_id": "x"}, "events.0.recommendation_id is 'x': 32 hexadecimal digits are expected, as an answer has them"),
        ({"event_at": "2026-04-11T09:30:12"}, "events.0.event_at is '2026-04-11T09:30:12': input should have timezone info"),
        ({"event_at": None}, "events.0.event_at is "),
        ({"position": 0}, "events.0.position is 0: input should be greater than or equal to 1"),
        ({"position": "3"}, "events.0.position is '3': input should be a valid integer"),
        ({"item_id": "a\nb"}, "events.0.item_id is 'a\\nb': an id has no control characters"),
        ({"event_id": "e" * 201}, "events.0.event_id is 'eeee"),
        ({"user_id": ""}, "events.0.user_id is '': string should have at least 1 character"),
        ({"user_id": "\ud800"}, "events.0.user_id is '\\ud800': "),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_wrong_event_is_refused_in_a_sentence_with_all_of_its_request(
    client: Client, feedback_log: AppendLog, changes: dict[str, object], sentence: str
) -> None:
    wrong = event(**changes) if changes.get("event_at", "") is not None else {k: v for k, v in event().items() if k != "event_at"}
    status, answer = client.post("/events", {"events": [wrong, event()]})
    assert status == 422
    assert answer["detail"].startswith(sentence)
    assert logged(feedback_log, EVENTS) == []


def test_many_faults_are_not_all_told(client: Client) -> None:
    status, answer = client.post("/events", {"events": [event(position=0)] * 10})
    assert (status, answer["detail"].count("; "), answer["detail"][-10:]) == (422, 3, "and 7 more")


def test_too_many_events_are_refused_and_none_is_taken(client: Client, feedback_log: AppendLog) -> None:
    many = [event(event_id=f"e{number}") for number in range(10_000)]
    assert client.post("/events", {"events": many[:MAX_EVENTS]})[0] == 202
    status, answer = client.post("/events", {"events": many[: MAX_EVENTS + 1]})
    assert (status, answer["detail"]) == (422, "events has 101 entries, expected at most 100 a request; send them in several")
    assert client.post("/events", {"events": []})[0] == 422
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
    connection.putrequest("POST", "/events")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(json.dumps({"events": many}))))
    connection.endheaders()
    refused = connection.getresponse()
    assert refused.status == 413
    assert json.loads(refused.read())["detail"].endswith(f"expected at most {MAX_BODY:,}; send at most 100 events at a time")
    connection.close()
    assert len(logged(feedback_log, EVENTS)) == MAX_EVENTS


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content_Type": "application/json"}, 422),
        (b"[1]", {"Content_Type": "application/json"}, 422),
        (b"\xff", {"Content_Type": "application/json"}, 400),
        (b"[" * 100_000, {"Content_Type": "application/json"}, 400),
        (json.dumps({"events": [event()]}).encode(), {"Content_Type": "text/plain"}, 422),  # as a page of elsewhere could send
        (json.dumps({"events": [event()]}).encode(), {}, 422),
        (b"", {"Content_Type": "application/json"}, 422),
    ],
    ids=["half", "a list", "no text", "deep", "as text", "without a type", "nothing"],
)
def test_a_body_of_another_kind_is_refused(
    client: Client, feedback_log: AppendLog, body: bytes, headers: dict[str, str], status: int
) -> None:
    found, _, answer = client.ask("/events", "POST", body, **headers)
    assert found == status and isinstance(json.loads(answer)["detail"], str)
    assert logged(feedback_log, EVENTS) == []


def test_a_body_without_a_length_is_refused(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
    connection.request("POST", "/events", iter([b"{}"]), {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 411
    connection.close()


def test_without_a_log_lists_have_ids_and_events_are_not_taken(published_file: Path) -> None:
    with serving(published_file) as client:
        assert len(client.get("/popular")[1]["recommendation_id"]) == 32
        status, answer = client.post("/events", {"events": [event()]})
        assert (status, "without --no-log" in answer["detail"]) == (404, True)


def test_a_full_disk_delays_no_answer_is_counted_and_events_are_to_be_sent_again(
    published_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(descriptor: int, text: bytes) -> int:
        raise OSError(28, "No space left on device")

    log = AppendLog(tmp_path / "served", Limits(lines=20))
    with serving(published_file, feedback_log=log) as client, monkeypatch.context() as disk:
        assert client.post("/events", {"events": [event()]})[0] == 202
        log.flush()
        disk.setattr(os, "write", full)
        assert client.post("/events", {"events": [event(event_id="e2")]})[0] == 202
        for _ in range(30):
            assert client.get("/popular")[0] == 200
        log.flush()
        health = client.get("/health")[1]
        assert health["served_log"] == {"written": 0, "waiting": 20, "lost": 10, "problem": "No space left on device"}
        status, headers, body = client.ask("/events", "POST", json.dumps({"events": [event()]}).encode(), Content_Type="application/json")
        assert (status, headers["Retry-After"]) == (503, "5")
        assert json.loads(body)["detail"].startswith("the log cannot be written now: No space left on device")
        disk.setattr(os, "write", write)
        log.flush()
        assert client.get("/health")[1]["served_log"] == {"written": 20, "waiting": 0, "lost": 10, "problem": ""}
        assert client.post("/events", {"events": [event(event_id="e3")]})[0] == 202
    assert [line["event_id"] for line in logged(log, EVENTS)] == ["e1", "e2", "e3"]


def test_a_log_that_is_stuck_in_the_disk_holds_up_no_answer(published_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(descriptor: int, text: bytes) -> int:
        time.sleep(1.0)
        return len(text)

    with serving(published_file, feedback_log=AppendLog(tmp_path)) as client, monkeypatch.context() as disk:
        disk.setattr(os, "write", slow)
        started = time.monotonic()
        for _ in range(50):
            assert client.get("/popular")[0] == 200
        assert time.monotonic() - started < 0.9


def test_the_library_gives_ids_too(published_file: Path) -> None:
    target = SqliteTarget(published_file)
    first, second = (lookup.recommend(target, "u00001", 3) for _ in range(2))
    assert first == second and first.recommendation_id != second.recommendation_id
    target.close()
