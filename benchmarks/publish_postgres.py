"""Publishing to PostgreSQL beside a bare ADBC load of the same rows: `python -m benchmarks.publish_postgres`.

Makes the lists of 1,000,000 users, 10 places each, as `benchmarks.publish` does, and starts a server of its own without fsync.
The peer reads the files, loads them by ADBC into one table of the same types, and adds the same key: no hash, no check, no
views. Ours is the whole of publishing: stage with the hash, let the server check, switch.

Then two readers ask for users in sequence while two versions take turns. The claim for a switch is its longest time, from its
first lock to its commit, or the longest wait of a reader for an answer.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
from adbc_driver_postgresql import dbapi

import jobs  # noqa: F401  sets the thread counts of Arrow's and others' pools
from benchmarks.measure import Claim, in_turns, machine, seconds_of
from benchmarks.publish import NOW, VALID, batches, few, write_lists
from hybridrec.postgresql.version_tables import column_ddl
from hybridrec.targets.postgres import PostgresTarget
from hybridrec.versions.publications import PUBLISHED, Publication, definition
from tests.support.database import PUBLISHER, READER, fresh_database, server

N_SWITCHES, N_READERS, LOCK_SECONDS = 36, 2, 0.1


def main() -> None:
    """Print seconds, rows a second and the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--places", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server() as address:
        lists = write_lists(Path(folder), np.random.default_rng(0), options.users, options.places)
        seconds = in_turns(
            {
                "bare ADBC load": lambda: bulk_load(fresh_database(address, "bare"), lists),
                "stage, check, switch": lambda: publish(fresh_database(address, "whole"), "v1", lists, options.users),
            },
            options.rounds,
        )
        size = value(f"{address}/whole", "SELECT pg_database_size(current_database())") / 2**20
        version = value(f"{address}/whole", "SHOW server_version")
        publish(f"{address}/whole", "v2", lists[:1], 0)
        switch, wait = switches(f"{address}/whole", [f"u{user:09d}" for user in range(options.users // len(lists))])
    print(machine("pyarrow", "adbc-driver-postgresql"), f"PostgreSQL {version}", sep=", ")
    print(f"{options.users:,} users, {options.places} places each, {size:,.0f} MiB in the database")
    for name, median in seconds.items():
        print(f"{name:<22} {median:8.2f} s {options.users / median:10,.0f} rows/s")
    print(f"{N_SWITCHES} switches: the longest took {switch * 1e3:.1f} ms; the longest wait of {N_READERS} readers was {wait * 1e3:.1f} ms")
    print(Claim("publish_vs_adbc", seconds["bare ADBC load"] / seconds["stage, check, switch"], 0.7).text())
    print(Claim("switch_lock", LOCK_SECONDS / max(switch, wait), 1.0).text())


def value(address: str, query: str) -> int:
    """Return the one value that a query gives."""
    with psycopg.connect(address) as db:
        return db.execute(query).fetchone()[0]


def bulk_load(address: str, lists: list[Path]) -> None:
    """Load the rows into one table, then build its key."""
    shape = definition("recommendations")
    with closing(dbapi.connect(address)) as bulk, bulk.cursor() as cursor:
        cursor.execute(f"CREATE TABLE lists ({', '.join(map(column_ddl, shape.columns))})")
        bulk.commit()
        cursor.adbc_ingest("lists", pa.RecordBatchReader.from_batches(shape.arrow_schema(), batches(lists)), mode="append")
        cursor.execute("ALTER TABLE lists ADD PRIMARY KEY (user_id)")
        bulk.commit()


def publish(address: str, version: str, lists: list[Path], n_users: int) -> None:
    """Publish the rows as a version, with the few of the other tables. n_users: expected number, 0 for any."""
    target = PostgresTarget(address, READER)
    rows: Mapping[str, Iterator[pa.RecordBatch]] = {name: batches(lists) if name == "recommendations" else few(name) for name in PUBLISHED}
    counts = {"recommendations": n_users} if n_users else {}
    target.stage(Publication(version, "r", "made", NOW, "1", NOW, NOW + VALID, counts, "", "staged", ""), rows)
    target.check(version)
    target.switch_to(version, 3)
    target.close()


class TimedTarget(PostgresTarget):
    """A target that notes how long each switch took, from its first lock to its commit."""

    def __init__(self, address: str, reader: str) -> None:
        super().__init__(address, reader)
        self.seconds: list[float] = []

    def _switched(self, db: psycopg.Connection, version: str) -> bool:
        started = time.perf_counter()
        switched = super()._switched(db, version)
        self.seconds.append(time.perf_counter() - started)
        return switched


def switches(address: str, users: list[str]) -> tuple[float, float]:
    """Return the longest seconds of a switch, and of an answer meanwhile."""
    target, over = TimedTarget(address, READER), threading.Event()
    waits: list[float] = []

    def poll(seed: int) -> None:
        reader, rng = PostgresTarget(address.replace(f"{PUBLISHER}@", f"{READER}@"), READER), np.random.default_rng(seed)
        reader.read_user(users[0])  # connects
        while not over.is_set():
            user = users[rng.integers(len(users))]
            waits.append(seconds_of(lambda: reader.read_user(user)))  # noqa: B023  called at once
        reader.close()

    readers = [threading.Thread(target=poll, args=(seed,)) for seed in range(N_READERS)]
    for reader in readers:
        reader.start()
    for number in range(N_SWITCHES):
        target.switch_to(f"v{number % 2 + 1}", 3)
    over.set()
    for reader in readers:
        reader.join()
    return max(target.seconds), max(waits)


if __name__ == "__main__":
    main()
