"""Publishing beside a bare bulk load of the same rows: `python -m benchmarks.publish`, or with `--users 20_000` in a moment.

Makes the lists of 300,000 users, 20 places each with sentences and sources as a night writes them, in four Parquet files.
The peer reads them, turns arrays into the same JSON text, and calls SQLite's executemany on one table of the same key: no
hash, no check, no views. Ours is the whole of publishing: stage with the hash, read back and compare, switch.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import jobs  # noqa: F401  sets the thread counts of Arrow's and others' pools
from benchmarks.measure import Claim, in_turns, machine
from hybridrec.publishing.publish import BATCH_ROWS
from hybridrec.targets.sqlite import PAGE_BYTES, SqliteTarget
from hybridrec.versions.publications import DRAWN, PUBLISHED, Publication, definition
from hybridrec.versions.row_text import as_text

N_ITEMS, K, N_FILES = 20_000, 20, 4
SENTENCES = ("people with a history like yours went on to it", "because of {}, which you came back to", "shares Drama and War with {}")
SOURCES = ("als", "ease", "item_knn", "content", "sasrec", "rp3beta", "bpr")
NOW, VALID = datetime(2026, 4, 11, tzinfo=UTC), timedelta(days=2)


def main() -> None:
    """Print seconds, rows a second and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lists = write_lists(Path(folder), np.random.default_rng(0), options.users)
        paths = [Path(folder) / f"{name}.db" for name in ("bare", "staged", "whole")]
        seconds = in_turns(
            {
                "bare bulk load": lambda: bulk_load(fresh(paths[0]), lists),
                "stage alone": lambda: publish(fresh(paths[1]), lists, options.users, whole=False),
                "stage, check, switch": lambda: publish(fresh(paths[2]), lists, options.users, whole=True),
            },
            options.rounds,
        )
        require_same_rows(paths[0], paths[2])
        size = paths[0].stat().st_size / 2**20
    print(machine("pyarrow"), f"SQLite {sqlite3.sqlite_version}", sep=", ")
    print(f"{options.users:,} users, {K} places each, {size:,.0f} MiB in the database")
    for name, value in seconds.items():
        print(f"{name:<22} {value:8.2f} s {options.users / value:10,.0f} rows/s")
    print(Claim("publish_vs_bulk", seconds["bare bulk load"] / seconds["stage, check, switch"], 0.7).text())


def write_lists(folder: Path, rng: np.random.Generator, n_users: int, k: int = K) -> list[Path]:
    """Return the lists in files, in the order of the key."""
    paths = []
    for number, users in enumerate(np.array_split(np.arange(n_users), N_FILES)):
        paths.append(folder / f"part-{number}.parquet")
        with pq.ParquetWriter(paths[-1], definition("recommendations").arrow_schema(), compression="zstd") as writer:
            for block in np.array_split(users, max(1, len(users) // BATCH_ROWS)):
                writer.write_table(lists_of(rng, block, k))
    return paths


def lists_of(rng: np.random.Generator, users: np.ndarray, k: int = K) -> pa.Table:
    """Return lists of some users, k places each."""
    titles = [f"The Book of {number} Nights, volume {number % 7}" for number in range(N_ITEMS)]
    sentences = np.array([sentence.format(title) for sentence in SENTENCES for title in titles], dtype=object)
    sources = np.array(["+".join(rng.permutation(SOURCES)[: rng.integers(1, len(SOURCES))]) for _ in range(500)], dtype=object)
    shape = (len(users), k)
    scores = -np.sort(-rng.random(shape).astype(np.float32), axis=1)
    item_ids = rng.integers(0, N_ITEMS, shape).astype(str).astype(object)
    columns: dict[str, pa.Array] = {
        "user_id": pa.array([f"u{user:09d}" for user in users]),
        "item_ids": arrays(item_ids, pa.string()),
        "scores": arrays(scores, pa.float32()),
        "reasons": arrays(sentences[rng.integers(0, len(sentences), shape)], pa.string()),
        "sources": arrays(sources[rng.integers(0, len(sources), shape)], pa.string()),
    }
    columns |= {
        name: pa.array([value] * len(users)) for name, value in (("reason", "ranked"), ("strategy", "stacking"), ("segment", "heavy"))
    }
    columns["shortfall"] = pa.nulls(len(users), pa.string())
    schema = definition("recommendations").arrow_schema()
    columns |= {field.name: pa.nulls(len(users), field.type) for field in schema if field.name in DRAWN}
    return pa.table([columns[name] for name in schema.names], schema=schema)


def arrays(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Return a row of values becomes a list."""
    return pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1], pa.array(values.ravel(), kind))


def batches(lists: list[Path]) -> Iterator[pa.RecordBatch]:
    """Yield the rows as publish_table reads them."""
    for path in lists:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)


def fresh(path: Path) -> Path:
    """Return the path, and nothing there."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    return path


def bulk_load(path: Path, lists: list[Path]) -> None:
    """Load the rows into one table, a transaction per batch."""
    shape = definition("recommendations")
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute(f"CREATE TABLE lists ({', '.join(f'{name} TEXT' for name in shape.column_names)}, PRIMARY KEY (user_id)) WITHOUT ROWID")
    insert = f"INSERT INTO lists VALUES ({', '.join('?' * len(shape.columns))})"
    for batch in batches(lists):
        texts = as_text(batch, shape)
        db.execute("BEGIN")
        db.executemany(insert, zip(*(column.to_pylist() for column in texts.columns), strict=True))
        db.execute("COMMIT")
    db.close()


def publish(path: Path, lists: list[Path], n_users: int, whole: bool) -> None:
    """Publish the rows as a version, with the few of the other tables."""
    target = SqliteTarget(path)
    rows: Mapping[str, Iterator[pa.RecordBatch]] = {name: batches(lists) if name == "recommendations" else few(name) for name in PUBLISHED}
    counts = {"recommendations": n_users}
    target.stage(Publication("v1", "r", "made", NOW, "1", NOW, NOW + VALID, counts, "", "staged", ""), rows)
    if whole:
        target.check("v1")
        target.switch_to("v1", 3)
    target.close()


def few(name: str) -> Iterator[pa.RecordBatch]:
    """Yield no rows, for a table that is small beside the lists."""
    yield pa.RecordBatch.from_pylist([], definition(name).arrow_schema())


def require_same_rows(bare: Path, published: Path) -> None:
    """Stop where the two files do not hold the same rows."""
    names = ", ".join(definition("recommendations").column_names)
    db = sqlite3.connect(published)
    db.execute("ATTACH ? AS bare", (str(bare),))
    query = f"SELECT COUNT(*) FROM (SELECT {names} FROM bare.lists EXCEPT SELECT {names} FROM recommendations)"
    [(differing,)] = db.execute(query).fetchall()
    db.close()
    if differing:
        raise SystemExit(f"{differing} rows of the bulk load are not among the published ones")


if __name__ == "__main__":
    main()
