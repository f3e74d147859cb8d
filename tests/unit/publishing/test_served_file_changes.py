"""The look-up service while the published file expires, is replaced, damaged or locked."""

from __future__ import annotations

import io
import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hybridrec.targets.sqlite import SqliteTarget
from tests.support.published_rows import publication, publish, tables
from tests.support.serving import LOCKS, READS, Client, locked, marks, published, put, serving


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
