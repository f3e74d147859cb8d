"""The look-up service over real HTTP and a real published file."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, get_args
from urllib.parse import quote

import database
import psycopg
import pytest
import uvicorn
from published_rows import publication, publish, rows, tables

from hybridrec.serving import service
from hybridrec.serving.service import create_app
from hybridrec.tables import MAX_ID
from hybridrec.targets.postgres import PostgresTarget
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import Reason, Target

READS = ("/recommendations/u00001", "/items/i003/similar", "/popular", "/health")


class Client:
    """One kept connection, as a service's neighbour has."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str, method: str = "GET") -> tuple[int, dict]:
        status, _, body = self.ask(path, method)
        return status, json.loads(body)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        self.connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = self.connection.getresponse()
        return response.status, response.headers, response.read()


@contextmanager
def serving(place: Path | Target, **options: object) -> Iterator[Client]:
    app = create_app(SqliteTarget(place) if isinstance(place, Path) else place, **options)  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_keep_alive=60))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    client = Client(server.servers[0].sockets[0].getsockname()[1])
    try:
        yield client
    finally:
        client.connection.close()
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def published_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("published") / "recommendations.db"
    publish(SqliteTarget(path), "v1", "one")
    return path


@pytest.fixture(scope="module")
def client(published_file: Path) -> Iterator[Client]:
    with serving(published_file) as found:
        yield found


def ids(answer: dict) -> list[str]:
    return [entry["item_id"] for entry in answer["entries"]]


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
    assert client.get("/health") == (200, {"run_id": "run-v1", "version": "v1", **times, "stale": True})


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
    assert set(schema["paths"]) == lists | {"/live", "/ready", "/health"}
    shapes = schema["components"]["schemas"]
    assert shapes["Answer"]["properties"]["reason"]["enum"] == list(get_args(Reason))
    for shape in ("Answer", "Entry", "SimilarItems", "Health", "Problem"):
        assert all(field["description"] and field["examples"] for field in shapes[shape]["properties"].values())
    for path in schema["paths"].values():
        assert path["get"]["description"] and {"421", "422", "503"} <= set(path["get"]["responses"])
        assert all(parameter["description"] for parameter in path["get"].get("parameters", []))
    for path, shape in (("/recommendations/u00001", "Answer"), ("/items/i003/similar", "SimilarItems"), ("/health", "Health")):
        answer = client.get(path)[1]
        assert set(answer) == set(shapes[shape]["properties"]) == set(shapes[shape]["required"])
        for entry in answer.get("entries", []):
            assert set(entry) == set(shapes["Entry"]["properties"])


def test_reading_changes_nothing_and_nothing_else_is_offered(client: Client, published_file: Path) -> None:
    before = published_file.read_bytes()
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.get("/recommendations/u00001", method)[0] == 405
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
    assert len([record for record in caplog.records if "has no login" in record.getMessage()]) == 4


def test_it_is_ready_while_the_version_is_valid(tmp_path: Path) -> None:
    target = SqliteTarget(tmp_path / "recommendations.db")
    with serving(target.path) as client:
        assert client.get("/live")[0] == 200
        for version, age, states in (("v1", 1, (200, 200, False)), ("v2", 3, (503, 200, True))):
            made = datetime.now(UTC) - timedelta(days=age)
            target.stage(publication(version, generated_at=made, valid_until=made + timedelta(days=2)), tables("one"))
            target.switch_to(version, 3)
            status, answer = client.get("/ready")
            health = client.get("/health")
            assert (status, health[0], health[1]["stale"]) == states
            assert client.get("/recommendations/u00001")[1]["version"] == version
        assert answer["detail"].startswith("version v2 of run run-v2 was valid until ")
        assert client.get("/live")[0] == 200


def published(folder: Path, version: str, mark: str) -> Path:
    path = folder / version / "recommendations.db"
    publish(SqliteTarget(path), version, mark)
    return path


def put(new: Path, path: Path, how: str) -> None:
    """Put a copy of a published file in the place of another one."""
    beside = new.with_name("beside.db")
    if how == "without a log":
        beside.unlink(missing_ok=True)
        with closing(sqlite3.connect(new)) as db:
            db.execute("VACUUM INTO ?", (str(beside),))
    else:
        shutil.copyfile(new, beside)
    beside.replace(path)
    if how != "the old log stays":
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def marks(answer: dict) -> set[str]:
    found = {entry["reason"].split('"')[1] for entry in answer["entries"] if '"' in entry["reason"]}
    return found | {entry["title"].split()[1] for entry in answer["entries"] if entry["title"]}


@pytest.mark.parametrize("how", ["without a log", "with its log", "the old log stays"])
def test_a_replaced_file_is_opened_anew(tmp_path: Path, how: str) -> None:
    one, two = published(tmp_path, "v1", "one"), published(tmp_path, "v2", "two")
    path = tmp_path / "recommendations.db"
    publish(SqliteTarget(path), "v0", "none")
    with serving(path) as client:
        assert client.get("/recommendations/u00001")[1]["version"] == "v0"
        for new, version, mark in ((two, "v2", "two"), (one, "v1", "one"), (two, "v2", "two")):
            put(new, path, how)
            for place in READS[:3]:
                status, answer = client.get(place)
                assert (status, answer["version"], marks(answer)) == (200, version, {mark})
        publish(SqliteTarget(path), "v3", "three")
        assert client.get("/recommendations/u00001")[1]["version"] == "v3"


def test_a_file_that_was_away_is_opened_when_it_is_back(tmp_path: Path) -> None:
    path, two = tmp_path / "recommendations.db", published(tmp_path, "v2", "two")
    publish(SqliteTarget(path), "v1", "one")
    with serving(path) as client:
        assert client.get("/popular")[1]["version"] == "v1"
        path.unlink()
        assert client.get("/popular")[0] == 503
        put(two, path, "with its log")
        assert client.get("/popular")[1]["version"] == "v2"


def test_a_damaged_file_is_not_named_to_clients_and_mended_without_a_restart(tmp_path: Path) -> None:
    path, out, one = tmp_path / "recommendations.db", io.StringIO(), published(tmp_path, "v1", "one")
    path.write_bytes(b"no database, but as long as one would be" * 1000)
    with serving(path, access_log=out) as client:
        for place in READS:
            status, headers, body = client.ask(place)
            assert status == 503 and headers["Retry-After"]
            assert str(tmp_path) not in body.decode() and "log says why" in body.decode()
        path.write_bytes(one.read_bytes())
        assert client.get("/popular")[1]["version"] == "v1"
    assert out.getvalue().count("file is not a database") == len(READS)


LOCKS = {
    "exclusive": "db = sqlite3.connect(path, isolation_level=None); db.execute('BEGIN EXCLUSIVE')",
    # so a reader of the log finds its index when another process is stuck in the middle of opening it: SQLite itself waits 10 s then
    "protocol": "file = open(path + '-shm', 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX, 3, 120)",
}


@contextmanager
def locked(path: Path, how: str) -> Iterator[None]:
    """Lock the file by another process."""
    code = f"import fcntl, sqlite3, sys; path = {str(path)!r}; {LOCKS[how]}; print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdin
    assert holder.stdout.readline() == b"held\n"
    yield
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()


@pytest.mark.parametrize("how", LOCKS)
def test_a_locked_file_is_waited_for_shortly_and_holds_up_nothing_else(tmp_path: Path, how: str) -> None:
    path, one = tmp_path / "recommendations.db", published(tmp_path, "v1", "one")
    publish(SqliteTarget(path), "v0", "none")
    put(one, path, "without a log" if how == "exclusive" else "with its log")
    if how == "protocol":
        publish(SqliteTarget(path), "v1", "one")  # a log
    with serving(path) as client, ExitStack() as stack:
        waiting = [Client(client.port) for _ in range(5)]
        with locked(path, how):
            for each in waiting:
                each.connection.request("GET", "/recommendations/u00001")
            assert client.get("/live") == (200, {"status": "alive"})
            for each in waiting:  # it is held until these are answered
                stack.callback(each.connection.close)
                response = each.connection.getresponse()
                body = json.loads(response.read())
                assert (response.status, response.headers["Retry-After"]) == (503, "1")
                assert "locked" in body["detail"]
            assert client.get("/ready")[0] == 503
        deadline = time.monotonic() + 20  # the thread may still be in SQLite's own wait
        while client.get("/recommendations/u00001")[0] != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert client.get("/recommendations/u00001")[1]["version"] == "v1"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def started(*options: str, access_log: IO[bytes] | int = subprocess.PIPE) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    """Start the service as a process. access_log: its target; an unread pipe holds only a few hundred lines."""
    port = free_port()
    command = [sys.executable, "-m", "hybridrec.service", "--port", str(port), *options]
    process = subprocess.Popen(command, env=dict(os.environ), stdout=access_log, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield process, Client(port)
    finally:
        process.kill()
        process.communicate()


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT], ids=lambda kind: kind.name)
def test_it_ends_cleanly_under_load(home: Path, tmp_path: Path, kind: signal.Signals) -> None:
    """Each request that was taken is answered as a whole; a connection may be refused, but none breaks off."""
    publish(SqliteTarget(home / "published" / "recommendations.db"), "v1", "one")
    answered, broken = [], []

    def ask_until_refused() -> None:
        while True:
            client = Client(port)
            try:
                client.connection.connect()
            except OSError:
                return
            try:
                while client.connection.sock is not None:  # http.client closes it when the server says so
                    answered.append(client.get("/recommendations/u00001")[0])
            except ConnectionResetError:  # one that waited to be accepted
                pass
            except Exception as error:
                broken.append(repr(error))

    with (tmp_path / "access.log").open("wb") as access_log, started(access_log=access_log) as (process, client):
        port = client.port
        threads = [threading.Thread(target=ask_until_refused) for _ in range(6)]
        for thread in threads:
            thread.start()
        while len(answered) < 200:
            time.sleep(0.01)
        process.send_signal(kind)
        code = process.wait(30)
        for thread in threads:
            thread.join()
        assert process.stderr
        told = process.stderr.read().decode()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert (code, broken, set(answered)) == (0, [], {200})
    assert "Traceback" not in told
    assert len(lines) >= len(answered)
    assert all(json.loads(line)["status"] == 200 for line in lines)


LOAD_SECONDS = 30.0


class Load:
    """Clients of a service that ask again and again, and how late this process itself is woken."""

    def __init__(self, port: int, paths: list[str]) -> None:
        self.port, self.paths = port, paths
        self.waits: list[float] = []
        self.faults: list[str] = []
        self.seen: dict[str, int] = {}
        self.refused = 0
        self.late = 0.0
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]
        self._threads.append(threading.Thread(target=self._pulse))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        client = Client(self.port)
        while not self._end.is_set():
            path = self.paths[number % len(self.paths)]
            number += 1
            started = time.monotonic()
            try:
                status, headers, body = client.ask(path)
                self.waits.append(time.monotonic() - started)
                self._judge(path, status, headers, json.loads(body))
            except Exception as error:
                self.faults.append(f"{path}: {error!r}")
                client = Client(self.port)
        client.connection.close()

    def _judge(self, path: str, status: int, headers: http.client.HTTPMessage, answer: dict) -> None:
        if status == 503 and "locked" in answer["detail"] and headers["Retry-After"] == "1":
            self.refused += 1
        elif status != 200 or marks(answer) != {answer["version"].replace("v", "mark")} or len(answer["entries"]) != 5:
            self.faults.append(f"{path}: {status} {answer}")
        else:
            self.seen[answer["version"]] = self.seen.get(answer["version"], 0) + 1

    def _pulse(self) -> None:
        while not self._end.is_set():
            due = time.monotonic() + 0.01
            time.sleep(0.01)
            self.late = max(self.late, time.monotonic() - due)


@pytest.mark.slow
def test_half_a_minute_under_load_while_the_file_is_replaced_and_locked(home: Path, tmp_path: Path) -> None:
    """Five times another file, newer and older ones, of each kind; twice a lock of two seconds, and in between publications."""
    path = home / "published" / "recommendations.db"
    publish(SqliteTarget(path), "v0", "mark0")
    files = {version: published(tmp_path, f"v{version}", f"mark{version}") for version in (1, 2, 3)}
    steps = [(1, "without a log"), (2, "with its log"), (3, "the old log stays"), (1, "with its log"), (2, "without a log")]
    with started() as (process, client):
        threading.Thread(target=lambda: process.stdout and process.stdout.read(), daemon=True).start()
        paths = ["/recommendations/u00001?k=5", "/recommendations/u00005?exclude=i006,i007,i001&k=5", "/recommendations/nobody?k=5"]
        begun = time.monotonic()
        with Load(client.port, paths) as load:
            for number, (version, how) in enumerate(steps):
                time.sleep(max(0.0, begun + LOAD_SECONDS * number / len(steps) + 1.0 - time.monotonic()))
                put(files[version], path, how)
                if how == "without a log":
                    time.sleep(0.5)
                    with locked(path, "exclusive"):
                        time.sleep(2.0)
                else:
                    publish(SqliteTarget(path), f"v{10 + number}", f"mark{10 + number}")
            time.sleep(max(0.0, begun + LOAD_SECONDS - time.monotonic()))
        assert load.faults[:5] == []
        assert set(load.seen) == {"v0", "v1", "v2", "v3", "v11", "v12", "v13"}
        assert load.refused >= 4
        assert max(load.waits) < 1.0 + load.late
        assert client.get("/health")[1]["version"] == "v2"


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[str]:
    """Provide a server that may be restarted, with a published version in a database of its own."""
    with database.server() as address:
        place = database.fresh_database(address, "recommendations")
        publish(PostgresTarget(place, database.READER), "v1", "mark1")
        yield place


@pytest.mark.slow
def test_a_lock_in_postgres_is_waited_for_shortly_and_holds_up_nothing_else(own_postgres: str) -> None:
    with serving(PostgresTarget(database.as_role(own_postgres, database.READER), database.READER)) as client, ExitStack() as stack:
        assert client.get("/recommendations/u00001")[0] == 200
        waiting = [Client(client.port) for _ in range(9)]
        with psycopg.connect(own_postgres) as holder:
            holder.execute("LOCK TABLE hybridrec.publications IN ACCESS EXCLUSIVE MODE")
            for each in waiting:
                stack.callback(each.connection.close)
                each.connection.request("GET", "/recommendations/u00001")
            assert client.get("/live") == (200, {"status": "alive"})
            for each in waiting:
                response = each.connection.getresponse()
                assert (response.status, response.headers["Retry-After"]) == (503, "1")
                assert "locked" in json.loads(response.read())["detail"]
        for path in READS:
            assert client.get(path)[0] == 200


@pytest.mark.slow
def test_a_restarted_postgres_is_connected_to_again(own_postgres: str) -> None:
    def control(*words: str) -> None:
        binary = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda found: int(found.parent.name)) / "pg_ctl"
        as_owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        folder = str(data)
        subprocess.run([*as_owner, str(binary), "-w", "-D", folder, *words], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)

    [(data,)] = database.sql(database.as_role(own_postgres, database.ADMINISTRATOR), "SHOW data_directory")
    options = Path(str(data), "postmaster.opts").read_text().split(maxsplit=1)[1].replace('"', "")
    with serving(PostgresTarget(database.as_role(own_postgres, database.READER), database.READER)) as client:
        assert [client.get(path)[0] for path in (*READS, "/recommendations/nobody")] == [200] * 5
        control("-m", "fast", "stop")
        try:
            for path in READS:
                status, headers, body = client.ask(path)
                assert status == 503 and headers["Retry-After"]
                assert "127.0.0.1" not in body.decode()
            assert client.get("/live")[0] == 200
        finally:
            control("-l", str(Path(str(data)).parent / "log"), "-o", options, "start")
        assert [client.get(path)[0] for path in READS] == [200] * 4
        assert client.get("/ready")[0] == 503  # it answers, and the version is of April
