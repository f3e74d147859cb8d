"""The service under load, while its file is replaced and its database locked or restarted."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from hybridrec.targets.postgres import PostgresTarget
from hybridrec.targets.sqlite import SqliteTarget
from tests.support import database
from tests.support.published_rows import publish
from tests.support.serving import READS, Client, locked, marks, published, put, serving, started


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
    """A server that may be restarted, with a published version in a database of its own."""
    with database.server() as address:
        place = database.fresh_database(address, "recommendations")
        publish(PostgresTarget(place, database.READER), "v1", "mark1")
        yield place


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
