"""A sample of the messages between the PostgreSQL target and its server is the last in turn, and the server restarts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue

import psycopg
import pyarrow as pa
import pytest

from hybridrec.targets.postgres import PostgresTarget
from hybridrec.versions.publications import PUBLISHED
from tests.support import database
from tests.support.database import ADMINISTRATOR, READER, as_role, fresh_database
from tests.support.faults.failing_server import stored, try_degrees, try_messages, version_of
from tests.support.faults.tasks_that_fail import KEEP, read_target
from tests.support.faults.writing_process import Server
from tests.support.published_rows import publication, publish, tables


def test_every_nth_message_is_the_last_in_turn(wire_lanes: SimpleQueue[Server], postgres_server: str, tell: Callable[[str], None]) -> None:
    tell(try_messages(59, wire_lanes, postgres_server))


def test_a_disk_is_full_to_every_nth_degree(
    wire_lanes: SimpleQueue[Server], postgres_server: str, small_disk: Path, tell: Callable[[str], None]
) -> None:
    tell(try_degrees(9, wire_lanes, postgres_server, small_disk))


def test_the_server_stops_and_starts_while_a_table_is_staged() -> None:
    with database.server() as server_address:
        address = fresh_database(server_address, "restarted")
        target = PostgresTarget(address, READER)
        publish(target, "0", "0", KEEP)
        for live, name in enumerate(PUBLISHED):
            new = str(live + 1)
            assert version_of(target) == str(live)
            with pytest.raises(ConnectionError, match=r"/restarted: .*is the server up"):
                target.stage(publication(new), {**tables(new), name: broken_off(tables(new)[name], address)})
            assert version_of(target) == read_target(target) == str(live)
            publish(target, new, new, KEEP)
            assert version_of(target) == read_target(target) == new
            assert stored(address) == min(KEEP, live + 2)
        target.close()


def broken_off(batches: Iterable[pa.RecordBatch], address: str) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        restart(address)


def restart(address: str) -> None:
    """Stop the server at once, as a crash does, and start it."""
    with psycopg.connect(as_role(address, ADMINISTRATOR)) as db:
        [(data,)] = db.execute("SHOW data_directory")
        [(binaries,)] = db.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    as_owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*as_owner, f"{binaries}/pg_ctl", "-D", data, "-w", "-m", "immediate", "-l", f"{data}/../log", "restart"]
    subprocess.run(command, check=True, timeout=60, cwd=data, stdout=subprocess.DEVNULL)
