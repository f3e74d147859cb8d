"""Secrets that are planted in a night's environment, and the search for them in everything that the night has written."""

from __future__ import annotations

import base64
import gzip
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "planted-aws-93c1f07be2",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-5d20aa8714",
    "PGPASSWORD": "planted-postgres-e06b1c3f9a",
}
ENVIRONMENT = PLANTED | {
    "MLFLOW_TRACKING_USERNAME": "nobody",
    "HYBRIDREC_POSTGRES": f"postgresql://publisher:{PLANTED['PGPASSWORD']}@127.0.0.1:1/none",
}


def leaks(folder: Path, secrets: Mapping[str, str]) -> list[str]:
    """Return "name in place" for each secret that a file below the folder holds, as it is or in base 64, compressed or not."""
    forms = {name: [secret.encode(), *_base64_forms(secret)] for name, secret in secrets.items()}
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        try:
            content = b"\n".join(_contents(path))
        except FileNotFoundError:  # a running process has removed it
            continue
        found += [f"{name} in {path.relative_to(folder)}" for name, texts in forms.items() if any(text in content for text in texts)]
    return found


def _base64_forms(secret: str) -> Iterator[bytes]:
    """Yield the parts of a base-64 text that depend on the secret alone, for each of its three offsets."""
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + secret.encode())
        yield encoded[4 if before else 0 : len(encoded) - 4]


def _contents(path: Path) -> Iterable[bytes]:
    raw = path.read_bytes()
    yield raw
    if raw[:4] == b"PAR1":
        yield from _columns(pq.read_table(path))
    elif raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif raw[:15] == b"SQLite format 3":  # a long value lies in pieces
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            yield "\n".join(db.iterdump()).encode()


def _columns(table: pa.Table) -> Iterator[bytes]:
    yield str(table.schema.metadata).encode()
    for column in table.columns:
        for chunk in column.chunks:
            yield from (buffer.to_pybytes() for buffer in chunk.buffers() if buffer is not None)
