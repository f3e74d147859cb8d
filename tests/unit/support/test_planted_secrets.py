"""A secret is found wherever a night could have left it."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.planted_secrets import leaks

SECRET = "planted-here-4711"


def _parquet(path: Path) -> None:
    pq.write_table(pa.table({"reason": [["fine", f"failed: {SECRET}"]]}), path, compression="zstd")


def _parquet_metadata(path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({"made_by": SECRET}), path)


def _database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE tags (value)")
        db.execute("INSERT INTO tags VALUES (?)", ("x" * 4_050 + SECRET + "x" * 9_000,))


PLACES: dict[str, Callable[[Path], None]] = {
    "job.log": lambda path: _write(path, f"connecting to postgresql://u:{SECRET}@db/x\n".encode()),
    "manifest.json": lambda path: _write(path, json.dumps({"notes": SECRET}).encode()),
    "header.txt": lambda path: _write(path, b"Authorization: Basic " + base64.b64encode(f"user:{SECRET}".encode())),
    "events.gz": lambda path: _write(path, gzip.compress(SECRET.encode())),
    "factors.npz": lambda path: np.savez_compressed(path, names=np.array([SECRET.encode()])),
    "rows.parquet": _parquet,
    "schema.parquet": _parquet_metadata,
    "mlflow.db": _database,
}


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("name", PLACES)
def test_a_planted_secret_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "below").mkdir()
    PLACES[name](tmp_path / "below" / name)
    assert leaks(tmp_path, {"TOKEN": SECRET, "OTHER": "planted-nowhere-1"}) == [f"TOKEN in below/{name}"]
