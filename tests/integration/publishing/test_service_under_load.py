"""The service under load, while its file is replaced and its database locked or restarted."""

from __future__ import annotations

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
from tests.support.service_load import replace_under_load
from tests.support.serving import READS, Client, serving, started


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT], ids=lambda kind: kind.name)
def test_it_ends_cleanly_under_load(home: Path, tmp_path: Path, kind: signal.Signals) -> None:
    """Each request that was taken is answered as a whole; a connection may be refused, but none breaks off."""
    publish(SqliteTarget(home / "published" / "recommendations.db"), "v1", "one")
    answered: list[int] = []
    broken: list[str] = []

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


def test_ten_seconds_under_load_while_the_file_is_replaced_and_locked(home: Path, tmp_path: Path) -> None:
    replace_under_load(home, tmp_path, seconds=10.0)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[str]:
    """Provide a server that may be restarted, with a published version in a database of its own."""
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
