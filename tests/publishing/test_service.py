"""The look-up service over real HTTP and a real published file."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import uvicorn
from published_rows import publish, rows

from hybridrec.service import create_app
from hybridrec.targets.sqlite import SqliteTarget


class Client:
    """One kept connection, as a service's neighbour has."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str, method: str = "GET") -> tuple[int, dict]:
        self.connection.request(method, path)
        response = self.connection.getresponse()
        return response.status, json.loads(response.read())


@contextmanager
def serving(path: Path) -> Iterator[Client]:
    server = uvicorn.Server(uvicorn.Config(create_app(SqliteTarget(path)), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    client = Client(server.servers[0].sockets[0].getsockname()[1])
    yield client
    client.connection.close()
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("published") / "recommendations.db"
    publish(SqliteTarget(path), "v1", "one")
    return path


@pytest.fixture(scope="module")
def client(database: Path) -> Iterator[Client]:
    with serving(database) as found:
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


@pytest.mark.parametrize("user_id", ["nobody", "a/b", "' OR 1=1 --", "Zoë\x00", "health"])
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
        "/recommendations/" + "u" * 257,
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
    assert client.get("/health") == (200, {"run_id": "run-v1", "version": "v1", **times})


def test_nothing_published_is_said_in_a_sentence_until_something_is(tmp_path: Path) -> None:
    path = tmp_path / "recommendations.db"
    with serving(path) as client:
        for place in ("/health", "/recommendations/u00001", "/popular", "/items/i001/similar"):
            status, answer = client.get(place)
            assert status == 503
            assert "nothing has been published yet; run the DAG nightly_retrain" in answer["detail"]
        publish(SqliteTarget(path), "v1", "one")
        assert client.get("/recommendations/u00001")[1]["version"] == client.get("/health")[1]["version"] == "v1"


def test_the_schema_describes_the_answers(client: Client) -> None:
    status, schema = client.get("/openapi.json")
    assert status == 200
    assert set(schema["paths"]) == {"/recommendations/{user_id}", "/items/{item_id}/similar", "/popular", "/health"}
    shapes = schema["components"]["schemas"]
    for path, shape in (("/recommendations/u00001", "Answer"), ("/items/i003/similar", "SimilarItems"), ("/health", "Health")):
        answer = client.get(path)[1]
        assert set(answer) == set(shapes[shape]["properties"]) == set(shapes[shape]["required"])
        for entry in answer.get("entries", []):
            assert set(entry) == set(shapes["Entry"]["properties"])


def test_reading_changes_nothing_and_nothing_else_is_offered(client: Client, database: Path) -> None:
    before = database.read_bytes()
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.get("/recommendations/u00001", method)[0] == 405
    assert client.get("/recommendations/u00001")[0] == 200
    assert database.read_bytes() == before


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


def test_it_starts_from_the_command_line(home: Path) -> None:
    publish(SqliteTarget(home / "published" / "recommendations.db"), "v1", "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "hybridrec.service", "--port", str(port)], env=dict(os.environ))
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                status, answer = Client(port).get("/health")
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        assert (status, answer["version"]) == (200, "v1")
    finally:
        process.terminate()
        assert process.wait(10) in (0, -15)
