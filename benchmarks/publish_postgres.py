"""Publishing to PostgreSQL beside a bare ADBC load of the same rows: `python -m benchmarks.publish_postgres`.

Makes the lists of 200,000 users, 20 places each, as `benchmarks.publish` does, and starts a server of its own without fsync.
The peer reads the files, loads them by ADBC into one table of the same types, and adds the same key: no hash, no check, no
views. Ours is the whole of publishing: stage with the hash, read back and compare, switch.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
from adbc_driver_postgresql import dbapi

import jobs  # noqa: F401  sets the thread counts of Arrow's and others' pools
from benchmarks.measure import Claim, in_turns, machine
from benchmarks.publish import NOW, VALID, K, batches, few, write_lists
from hybridrec.postgresql.version_tables import column_ddl
from hybridrec.targets import PUBLISHED, Publication, definition
from hybridrec.targets.postgres import PostgresTarget
from tests.database import READER, fresh_database, server


def main() -> None:
    """Print seconds, rows a second and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server() as address:
        lists = write_lists(Path(folder), np.random.default_rng(0), options.users)
        seconds = in_turns(
            {
                "bare ADBC load": lambda: bulk_load(fresh_database(address, "bare"), lists),
                "stage alone": lambda: publish(fresh_database(address, "staged"), lists, options.users, whole=False),
                "stage, check, switch": lambda: publish(fresh_database(address, "whole"), lists, options.users, whole=True),
            },
            options.rounds,
        )
        size = value(f"{address}/whole", "SELECT pg_database_size(current_database())") / 2**20
        version = value(f"{address}/whole", "SHOW server_version")
    print(machine("pyarrow", "adbc-driver-postgresql"), f"PostgreSQL {version}", sep=", ")
    print(f"{options.users:,} users, {K} places each, {size:,.0f} MiB in the database")
    for name, median in seconds.items():
        print(f"{name:<22} {median:8.2f} s {options.users / median:10,.0f} rows/s")
    print(Claim("publish_vs_adbc", seconds["bare ADBC load"] / seconds["stage, check, switch"], 0.7).text())


def value(address: str, query: str) -> int:
    """The one value that a query gives."""
    with psycopg.connect(address) as db:
        return db.execute(query).fetchone()[0]


def bulk_load(address: str, lists: list[Path]) -> None:
    """The rows in one table, then its key."""
    shape = definition("recommendations")
    with closing(dbapi.connect(address)) as bulk, bulk.cursor() as cursor:
        cursor.execute(f"CREATE TABLE lists ({', '.join(map(column_ddl, shape.columns))})")
        bulk.commit()
        cursor.adbc_ingest("lists", pa.RecordBatchReader.from_batches(shape.arrow_schema(), batches(lists)), mode="append")
        cursor.execute("ALTER TABLE lists ADD PRIMARY KEY (user_id)")
        bulk.commit()


def publish(address: str, lists: list[Path], n_users: int, whole: bool) -> None:
    """The rows as a version, with the few of the other tables."""
    target = PostgresTarget(address, READER)
    rows: Mapping[str, Iterator[pa.RecordBatch]] = {name: batches(lists) if name == "recommendations" else few(name) for name in PUBLISHED}
    target.stage(Publication("v1", "r", "made", NOW, "1", NOW, NOW + VALID, {"recommendations": n_users}, "", "staged", ""), rows)
    if whole:
        target.check("v1")
        target.switch_to("v1", 3)
    target.close()


if __name__ == "__main__":
    main()
