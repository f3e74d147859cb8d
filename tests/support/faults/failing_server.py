"""Each message between the PostgreSQL target and its server is the last in turn: readers see a whole version, the next run succeeds."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

import psycopg
import pytest

from hybridrec.targets.postgres import PostgresTarget
from tests.support.database import READER, administer, as_role, fresh_database
from tests.support.faults.cut_wire import Cut, wire
from tests.support.faults.tasks_that_fail import KEEP
from tests.support.faults.writing_process import End, Server, Work, server
from tests.support.small_disk import mounted

CUTS = {
    "request cut": Cut("request", 0),
    "answer cut for good": Cut("answer", 0, lasting=True),
    "killed": Cut("request", 0, killed=True),
    "request cut for good": Cut("request", 0, lasting=True),
    "answer cut": Cut("answer", 0),
}
PAGE_BYTES = 8192
LANES = 2  # points tried at the same time


@pytest.fixture(scope="module")
def wire_lanes() -> Iterator[SimpleQueue[Server]]:
    free: SimpleQueue[Server] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(LANES):
            free.put(stack.enter_context(server()))
        yield free


def every_message(lane: Server, address: str, name: str, step: int) -> int:
    """Try each point of one kind of failure, or each step-th; returns how many were tried."""
    for live in (1, 2, 3):
        lane.succeed(Work("publish_postgres", address, str(live)))
    open_reader = PostgresTarget(as_role(address, READER), READER)
    for tried, at in enumerate(count(1, step)):
        cut = replace(CUTS[name], at=at)
        new = live + 1
        end, messages = publish_by_wire(lane, address, str(new), cut)
        point = f"{name} at {at}, {messages} messages: {end}"
        if messages < at:
            assert (end.error, end.signal) == ("", 0), point
            assert messages >= at - step, point  # no point of a whole run lies beyond the last one tried
            assert version_of(open_reader) == str(new)
            open_reader.close()
            return tried
        try:
            tell_the_truth(end, cut, address)
            fresh = lane.succeed(Work("read_postgres", as_role(address, READER)))
            assert fresh in ((str(live), str(new)) if end.error or end.signal else (str(new),))
            assert version_of(open_reader) == fresh
            lane.succeed(Work("publish_postgres", address, str(new)))
            assert version_of(open_reader) == str(new)
            assert stored(address) == KEEP
        except Exception as error:
            raise AssertionError(point) from error
        live = new
    raise AssertionError("a run without end")


def publish_by_wire(lane: Server, address: str, version: str, cut: Cut) -> tuple[End, int]:
    """Publish over the wire; returns the outcome and the number of messages of the cut's side."""
    parts = urlsplit(address)
    assert parts.hostname and parts.port
    with wire((parts.hostname, parts.port), cut) as through:
        there = address.replace(f":{parts.port}/", f":{through.port}/") + "?sslmode=disable&gssencmode=disable"
        through.kill(lane.start(Work("publish_postgres", there, version, forked=cut.killed)))
        return lane.end(), through.messages


def tell_the_truth(end: End, cut: Cut, address: str) -> None:
    """Require a retryable failure that names the server's address."""
    if cut.killed:
        assert end.signal == signal.SIGKILL
    elif end.error:
        assert "OSError" in end.error.split()
        assert urlsplit(address).path in end.sentence


def version_of(reader: PostgresTarget) -> str:
    answer = reader.read_user("u00001")
    assert answer is not None
    assert f'"{answer.version}"' in answer.entries[0].reason
    return answer.version


def stored(address: str) -> int:
    with psycopg.connect(address) as db:
        [(schemas,)] = db.execute("SELECT COUNT(*) FROM pg_namespace WHERE nspname LIKE 'hybridrec!_%' ESCAPE '!'")
    return int(schemas)


def try_messages(step: int, lanes: SimpleQueue[Server], postgres_server: str) -> str:
    """Try each message, or each step-th, with each kind of cut; returns a line with what was counted."""

    def tried(number: int, name: str) -> int:
        lane = lanes.get()
        try:
            return every_message(lane, fresh_database(postgres_server, f"wire_{step}_{number}"), name, step)
        finally:
            lanes.put(lane)

    with ThreadPoolExecutor(LANES) as pool:
        tries = {name: pool.submit(tried, number, name) for number, name in enumerate(CUTS)}
    points = {name: tried.result() for name, tried in tries.items()}
    assert min(points.values()) > 0
    return f"postgres: {sum(points.values())} points of failure tried: {', '.join(f'{name} {n}' for name, n in points.items())}"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Provide a disk of 32 MiB that the database server may write to."""
    folder = Path(tempfile.mkdtemp(prefix="small_disk_"))
    folder.chmod(0o755)
    with mounted(folder, 32):
        (folder / "tables").mkdir()
        shutil.chown(folder / "tables", "postgres", "postgres")
        yield folder
    folder.rmdir()


def try_degrees(step: int, lanes: SimpleQueue[Server], postgres_server: str, small_disk: Path) -> str:
    """Give the tables' disk room for no page, for a step of pages, for two, until a version fits; returns a line of counts."""
    lane, filler = lanes.get(), small_disk / "filler"
    # After a vacuum of its catalogues the server writes a file again at the next connection: on a full disk it would refuse it.
    administer(postgres_server, "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
    administer(postgres_server, f"CREATE TABLESPACE small LOCATION '{small_disk / 'tables'}'")
    address = fresh_database(postgres_server, "full_disk", "small")
    for live in ("1", "2", "3"):
        lane.succeed(Work("publish_postgres", address, live))
    for pages in count(0, step):
        new = str(int(live) + 1)
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - pages * PAGE_BYTES))
        end = lane.do(Work("publish_postgres", address, new))
        fresh = lane.succeed(Work("read_postgres", as_role(address, READER)))
        filler.unlink()
        if not end.error:
            break
        assert "no space left for" in end.sentence, end
        assert fresh in (live, new)
        lane.succeed(Work("publish_postgres", address, new))
        assert lane.succeed(Work("read_postgres", as_role(address, READER))) == new
        assert stored(address) == KEEP
        live = new
    administer(postgres_server, "DROP DATABASE full_disk WITH (FORCE)", "DROP TABLESPACE small")
    administer(postgres_server, "ALTER SYSTEM RESET autovacuum", "SELECT pg_reload_conf()")
    lanes.put(lane)
    assert pages > 0
    return f"postgres: {pages // step} degrees of a full disk tried"
