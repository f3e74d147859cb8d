"""The look-up service over real HTTP and a real published file."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args
from urllib.parse import quote

import pytest

from hybridrec.serving import service
from hybridrec.tables import MAX_ID
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import Reason
from tests.support.published_rows import publish, rows
from tests.support.serving import READS, Client, ids, serving, started


def test_a_user_gets_the_published_list(client: Client) -> None:
    status, answer = client.get("/recommendations/u00001?k=3")
    own = rows("recommendations", "one").to_pylist()[1]
    assert status == 200
    assert ids(answer) == own["item_ids"][:3]
    assert [entry["rank"] for entry in answer["entries"]] == [1, 2, 3]
    assert answer["entries"][0]["title"] == "Title one of i001"
    assert answer["entries"][0]["reason"] == 'because of "one" and Zoë, no. 0\n'
    assert (answer["user_id"], answer["reason"], answer["run_id"], answer["version"]) == ("u00001", "ranked", "run-v1", "v1")
    assert answer["generated_at"] < answer["valid_until"]


def test_excluded_items_leave_their_places(client: Client) -> None:
    whole = ids(client.get("/recommendations/u00001")[1])
    _, answer = client.get(f"/recommendations/u00001?k=3&exclude={whole[0]}&exclude={whole[2]}")
    assert ids(answer) == [whole[1], whole[3], whole[4]]
    assert [entry["rank"] for entry in answer["entries"]] == [1, 2, 3]
    popular = ids(client.get("/popular?k=5")[1])
    assert ids(client.get(f"/recommendations/nobody?k=2&exclude={popular[0]}")[1]) == popular[1:3]


@pytest.mark.parametrize("user_id", ["nobody", "a/b", "' OR 1=1 --", 'Zoë"', "health", "u" * MAX_ID])
def test_an_unknown_user_gets_popular_items_and_is_told(client: Client, user_id: str) -> None:
    status, answer = client.get(f"/recommendations/{quote(user_id, safe='')}?k=4")
    assert (status, answer["user_id"], answer["reason"], len(answer["entries"])) == (200, user_id, "unknown_user", 4)


def test_items_have_similar_ones_or_the_answer_says_no(client: Client) -> None:
    status, answer = client.get("/items/i003/similar?k=2")
    assert (status, answer["item_id"], answer["version"]) == (200, "i003", "v1")
    assert [(e["rank"], e["item_id"], e["title"], e["score"], e["source"]) for e in answer["entries"]] == [
        (1, "i000", "Title one of i000", 1.0, "content"),
        (2, "i001", "Title one of i001", 0.5, "content"),
    ]
    assert client.get("/items/i999/similar") == (404, {"detail": "item 'i999' has no similar items in the live version"})


def test_popular_items_come_by_window(client: Client) -> None:
    status, answer = client.get("/popular?window=all_time&k=2")
    assert (status, ids(answer), answer["entries"][0]["source"]) == (200, ["i000", "i001"], "popular_all_time")


@pytest.mark.parametrize(
    "path",
    [
        "/recommendations/u?k=0",
        "/recommendations/u?k=201",
        "/recommendations/u?k=x",
        "/recommendations/" + "u" * (MAX_ID + 1),
        "/recommendations/u?exclude=",
        "/recommendations/u?" + "&exclude=i" * 201,
        "/popular?window=today",
        "/items/i/similar?k=-1",
    ],
    ids=lambda path: path[:40],
)
def test_what_is_out_of_bounds_is_refused(client: Client, path: str) -> None:
    assert client.get(path)[0] == 422


def test_health_names_the_live_version(client: Client) -> None:
    times = {"generated_at": "2026-04-11T00:00:00+00:00", "valid_until": "2026-04-13T00:00:00+00:00"}
    no_logs = {"served_log": None, "events_log": None}
    assert client.get("/health") == (200, {"run_id": "run-v1", "version": "v1", **times, "stale": True, **no_logs})


def test_nothing_published_is_said_in_a_sentence_until_something_is(tmp_path: Path) -> None:
    path = tmp_path / "recommendations.db"
    with serving(path) as client:
        for place in (*READS, "/ready"):
            status, headers, body = client.ask(place)
            assert (status, headers["Retry-After"]) == (503, "60")
            assert json.loads(body) == {"detail": "nothing has been published yet; run the DAG nightly_retrain"}
        publish(SqliteTarget(path), "v1", "one")
        assert client.get("/recommendations/u00001")[1]["version"] == client.get("/health")[1]["version"] == "v1"


def test_the_schema_describes_the_answers(client: Client) -> None:
    status, schema = client.get("/openapi.json")
    assert status == 200
    lists = {"/recommendations/{user_id}", "/items/{item_id}/similar", "/popular"}
    besides = {"/buy-again/{user_id}", "/bought-together", "/items/{item_id}/audience", "/trending"}
    assert set(schema["paths"]) == lists | besides | {"/live", "/ready", "/health", "/events"}
    shapes = schema["components"]["schemas"]
    assert shapes["Answer"]["properties"]["reason"]["enum"] == list(get_args(Reason))
    for shape in ("Answer", "Entry", "SimilarItems", "Health", "Problem"):
        assert all(field["description"] and field["examples"] for field in shapes[shape]["properties"].values())
    for path in schema["paths"].values():
        for operation in path.values():
            assert operation["description"] and {"421", "422", "503"} <= set(operation["responses"])
            assert all(parameter["description"] for parameter in operation.get("parameters", []))
    for path, shape in (("/recommendations/u00001", "Answer"), ("/items/i003/similar", "SimilarItems"), ("/health", "Health")):
        answer = client.get(path)[1]
        assert set(answer) == set(shapes[shape]["properties"]) == set(shapes[shape]["required"])
        for entry in answer.get("entries", []):
            assert set(entry) == set(shapes["Entry"]["properties"])


def test_reading_changes_nothing_and_nothing_else_is_offered(client: Client, published_file: Path) -> None:
    before = published_file.read_bytes()
    for method in ("PUT", "DELETE", "PATCH"):
        assert client.get("/recommendations/u00001", method)[0] == 405
    assert client.post("/recommendations/u00001", {})[0] == 405
    assert client.get("/recommendations/u00001")[0] == 200
    assert published_file.read_bytes() == before


def test_a_switch_while_serving_gives_whole_versions_only(tmp_path: Path) -> None:
    path, seen = tmp_path / "recommendations.db", set()
    publish(SqliteTarget(path), "v0", "mark0")
    publisher = threading.Thread(target=lambda: [publish(SqliteTarget(path), f"v{number}", f"mark{number}") for number in range(1, 6)])
    with serving(path) as client:
        publisher.start()
        while publisher.is_alive():
            status, answer = client.get("/recommendations/u00049")
            marks = {entry["reason"].split('"')[1] for entry in answer["entries"]}
            marks |= {entry["title"].split()[1] for entry in answer["entries"] if entry["title"]}
            assert (status, marks) == (200, {answer["version"].replace("v", "mark")})
            seen.add(answer["version"])
        assert client.get("/health")[1]["version"] == "v5"
    assert len(seen) > 1


@pytest.mark.parametrize(
    "path",
    [
        "/recommendations/a%00b",
        "/recommendations/a%0Ab",
        "/recommendations/%7F",
        "/recommendations/%FF",
        "/recommendations/%ED%A0%80",
        "/recommendations/\xff",
        "/recommendations/",
        "/recommendations/u?exclude=%FF",
        "/recommendations/u?exclude=%00",
        "/recommendations/u?exclude=" + "i" * (MAX_ID + 1),
        "/recommendations/u?exclude=a,,b",
        "/recommendations/u?exclude=" + ",".join("i" * 201),
        "/recommendations/u?k=%00",
        "/recommendations/u?k=1&k=2",
        "/recommendations/u?k=%E0",
        "/recommendations/u?top=3",
        "/recommendations/u?exclud=i001",
        "/items/%00/similar",
        "/items/i%C3%28/similar",
        "/items/i003/similar?exclude=i1",
        "/items/" + "i" * 300 + "/similar",
        "/popular?user=1",
        "/live?x",
        "/health?verbose=1",
        "/" + "x" * 9000,
        "/%00",
        "/'\"",
    ],
    ids=lambda path: ascii(path[:40]),
)
def test_what_no_table_can_hold_is_refused_in_a_sentence(client: Client, path: str) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as raw:  # http.client would refuse some of these itself
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
        answer = raw.makefile("rb").read()
    assert answer.split(b" ", 2)[1] in (b"400", b"404", b"422")
    body = answer.split(b"\r\n\r\n", 1)[1]
    if b"application/json" in answer:
        assert isinstance(json.loads(body)["detail"], str)
    assert len(answer) < 1000
    assert client.get("/popular")[0] == 200


def test_an_unknown_parameter_is_answered_with_those_there_are(client: Client) -> None:
    assert client.get("/popular?user=1&k=2") == (422, {"detail": "there is no parameter 'user'; this path has k, window"})
    assert client.get("/live?x=1") == (422, {"detail": "there is no parameter 'x'; this path has none"})
    assert client.get("/popular?k=2&k=3") == (422, {"detail": "k is given 2 times, expected once"})
    status, answer = client.get("/recommendations/u?k=0")
    assert (status, answer["detail"]) == (422, "k is '0': input should be greater than or equal to 1")
    assert client.get("/recommendations/%00") == (422, {"detail": "user_id is '\\x00': an id has no control characters"})
    expected = "ids are expected, with commas between them and without control characters"
    assert client.get("/recommendations/u?exclude=a,,b") == (422, {"detail": f"exclude is 'a,,b': {expected}"})


@pytest.mark.parametrize("query", ["exclude=i001,i003", "exclude=i001,%20i003", "exclude=i001%2Ci003", "exclude=i001&exclude=i003,i999"])
def test_items_are_excluded_as_a_list_or_one_by_one(client: Client, query: str) -> None:
    answer = client.get(f"/recommendations/u00001?k=3&{query}")[1]
    assert (ids(answer), answer["reason"], answer["shortfall"]) == (["i002", "i004", "i005"], "ranked", None)


def test_popular_items_take_the_places_that_exclusion_leaves(client: Client) -> None:
    """The list of u00005 is i005, i006, i007, i000, i001; popular are i000 to i004."""
    answer = client.get("/recommendations/u00005?k=5&exclude=i006,i007,i001")[1]
    assert ids(answer) == ["i005", "i000", "i002", "i003", "i004"]
    assert [entry["rank"] for entry in answer["entries"]] == [1, 2, 3, 4, 5]
    assert [entry["source"] for entry in answer["entries"]] == ["als+content"] * 2 + ["popular_recent"] * 3
    assert answer["entries"][2]["reason"] == "popular with everyone lately"
    scores = [entry["score"] for entry in answer["entries"]]
    assert scores == sorted(scores, reverse=True)
    assert (answer["reason"], answer["shortfall"], answer["user_id"]) == ("filled", None, "u00005")


def test_a_list_that_is_excluded_as_a_whole_becomes_popular_items(client: Client) -> None:
    answer = client.get("/recommendations/u00005?k=3&exclude=i005,i006,i007,i000,i001")[1]
    assert (ids(answer), answer["reason"], answer["user_id"]) == (["i002", "i003", "i004"], "fallback", "u00005")
    assert answer["shortfall"] is None


def test_too_few_places_are_explained(client: Client) -> None:
    everything = ",".join(f"i{number:03d}" for number in range(8))
    for user, reason in (("u00005", "fallback"), ("nobody", "unknown_user")):
        answer = client.get(f"/recommendations/{user}?k=4&exclude={everything}")[1]
        assert (answer["entries"], answer["reason"]) == ([], reason)
        assert answer["shortfall"].startswith("0 of 4 places: the others are excluded")
    answer = client.get("/recommendations/u00005?k=5&exclude=i005,i006,i000")[1]
    assert (ids(answer), answer["shortfall"]) == (["i007", "i001", "i002", "i003", "i004"], None)
    answer = client.get("/recommendations/u00005?k=5&exclude=i005,i006,i000,i001")[1]
    assert (len(ids(answer)), answer["shortfall"][:13]) == (4, "4 of 5 places")
    for path in ("/recommendations/u00005?k=9", "/popular?k=9"):
        assert client.get(path)[1]["shortfall"] == "5 of 9 places: the published list has no more"


@pytest.mark.parametrize("path", [*READS, "/live", "/openapi.json", "/popular?k=0", "/nothing"])
def test_head_says_what_get_would_without_the_body(client: Client, path: str) -> None:
    status, headers, body = client.ask(path)
    told, head, nothing = client.ask(path, "HEAD")
    assert (told, nothing) == (status, b"")
    assert head["Content-Length"] == headers["Content-Length"] == str(len(body))
    assert head["Content-Type"] == headers["Content-Type"]


def test_each_answer_has_a_request_id(client: Client) -> None:
    assert client.ask("/popular", X_Request_Id="shop-17.4_b")[1]["X-Request-Id"] == "shop-17.4_b"
    made = [client.ask("/popular", X_Request_Id=told)[1]["X-Request-Id"] for told in ("", "a b", "x" * 65, 'a"b', "ü")]
    made += [client.ask(path)[1]["X-Request-Id"] for path in ("/popular", "/nothing", "/popular?k=0")]
    made.append(client.ask("/popular", Host="elsewhere")[1]["X-Request-Id"])
    assert len(set(made)) == len(made) and all(len(found) == 32 and found.isalnum() for found in made)


def test_the_access_log_has_a_line_for_each_request_and_no_ids(published_file: Path) -> None:
    out = io.StringIO()
    with serving(published_file, access_log=out) as client:
        client.ask("/recommendations/u00001?k=3&exclude=i001", X_Request_Id="mine")
        client.ask("/recommendations/u%0A{}?k=3")
        client.ask("/recommendations/u00001%0D?k=3")
        client.ask("/items/i003/similar", "HEAD")
        client.ask("/nothing%0Ahere")
        client.ask("/popular", Host="elsewhere")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    lists, items = "/recommendations/{user_id:path}", "/items/{item_id:path}/similar"
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("GET", lists, 200),
        ("GET", "(none)", 404),
        ("GET", lists, 422),
        ("HEAD", items, 200),
        ("GET", "(none)", 404),
        ("GET", "(none)", 421),
    ]
    assert lines[0]["request_id"] == "mine" and lines[0]["ms"] > 0
    assert datetime.fromisoformat(lines[0]["time"]).tzinfo == UTC
    assert not any(word in out.getvalue() for word in ("u00001", "i001", "i003", "here", "elsewhere"))


def test_an_access_log_that_nobody_reads_holds_up_no_answer(published_file: Path) -> None:
    class Stuck(io.StringIO):
        def write(self, _: str) -> int:
            released.wait()
            raise OSError("gone")

    released = threading.Event()
    with serving(published_file, access_log=Stuck()) as client:
        for _ in range(50):
            assert client.get("/popular")[0] == 200
            time.sleep(0.005)
        released.set()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8100", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8100", "lookup", "Lookup:80"])
def test_a_host_of_the_list_is_answered(published_file: Path, host: str) -> None:
    with serving(published_file, allowed_hosts=["lookup"]) as client:
        assert client.ask("/popular", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example:8100", "[::2]", "", "localhost:x", "a b", "10.0.0.1"]
)
def test_a_foreign_host_is_refused(client: Client, host: str) -> None:
    for path in (*READS, "/live", "/openapi.json", "/nothing"):
        status, _, body = client.ask(path, Host=host)
        assert status == 421
        assert "--allowed-hosts" in json.loads(body)["detail"]


def test_no_host_and_two_hosts_are_refused(client: Client) -> None:
    for hosts in ("", "Host: localhost\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as raw:
            raw.sendall(f"GET /popular HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
            assert raw.makefile("rb").read().split(b" ", 2)[1] in (b"400", b"421")


def test_an_address_of_other_machines_is_listened_on_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert [service._own_name(host) for host in ("127.0.0.1", "::1", "localhost")] == [("127.0.0.1",), ("[::1]",), ("localhost",)]
    assert caplog.records == []
    assert [service._own_name(host) for host in ("0.0.0.0", "::", "10.1.2.3", "shop")] == [(), (), ("10.1.2.3",), ("shop",)]
    assert len([record for record in caplog.records if "can be reached from other machines" in record.getMessage()]) == 4


def test_it_starts_from_the_command_line(home: Path) -> None:
    publish(SqliteTarget(home / "published" / "recommendations.db"), "v1", "one")
    with started("--allowed-hosts", "lookup,recommendations.internal") as (process, client):
        assert client.get("/health")[1]["version"] == "v1"
        assert [client.ask("/live", Host=host)[0] for host in ("recommendations.internal", "lookup:80", "other")] == [200, 200, 421]
        taken = [sys.executable, "-m", "hybridrec.service", "--port", str(client.port)]
        second = subprocess.run(taken, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert "the port is taken" in second.stderr
        client.connection.close()
        process.terminate()
        assert process.wait(30) == 0
