"""Store a version's rows: a table for each published name, filled batch by batch, read back with a checksum, dropped."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybridrec.storage.ahead import one_ahead
from hybridrec.tables import Column, Table
from hybridrec.versions.content_hash import TableHash
from hybridrec.versions.publications import PUBLISHED, definition
from hybridrec.versions.row_text import as_text

if TYPE_CHECKING:
    import pyarrow as pa

from hybridrec.sqlite.connecting import transaction

READ_ROWS = 1_000  # some 2 MB of lists: what is that small stays in the cache and is not given back to the system


def quoted(identifier: str) -> str:
    """Quote an identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def table_name(name: str, storage: str) -> str:
    """Name the table of a published name in this storage, quoted."""
    return quoted(f"{name}_{storage}")


def _is_number(column: Column) -> bool:
    """Return whether SQLite has it as a number; everything else is text."""
    return column.type.startswith(("float", "int", "bool"))


def _column_ddl(column: Column) -> str:
    kind = "REAL" if column.type.startswith("float") else "INTEGER" if _is_number(column) else "TEXT"
    return f"{quoted(column.name)} {kind}{'' if column.nullable else ' NOT NULL'}"


def create_table(db: sqlite3.Connection, name: str, storage: str) -> None:
    """Make the table of a published name in this storage, unless it is there."""
    shape = definition(name)
    columns = ", ".join(_column_ddl(column) for column in shape.columns)
    key = ", ".join(quoted(column) for column in shape.key)
    db.execute(f"CREATE TABLE IF NOT EXISTS {table_name(name, storage)} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")


def stored_columns(db: sqlite3.Connection, name: str, storage: str) -> tuple[Column, ...]:
    """Return the columns that the table has: of a version from an earlier release there may be fewer."""
    there = {row[1] for row in db.execute(f"PRAGMA table_info({table_name(name, storage)})")}
    return tuple(column for column in definition(name).columns if column.name in there)


def fill(db: sqlite3.Connection, name: str, storage: str, batches: Iterable[pa.RecordBatch]) -> tuple[TableHash, TextChecksum]:
    """Write the rows, a transaction a batch: the log stays small, and a switch can come in between.

    Meanwhile the next batch is hashed and turned to text, and the one after it is read. Returns the hash of the values, and that
    of the text that is stored.
    """
    shape = definition(name)
    create_table(db, name, storage)
    insert = f"INSERT INTO {table_name(name, storage)} VALUES ({', '.join('?' * len(shape.columns))})"  # noqa: S608  checked identifiers
    hashed, stored = TableHash(shape), TextChecksum(shape)

    def counted(batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = as_text(hashed.add(batch), shape)
        if texts.num_rows:
            stored.add(map(_joined, texts.columns))
        return texts

    for texts in one_ahead(map(counted, one_ahead(batches))):
        with transaction(db):
            db.executemany(insert, zip(*(column.to_pylist() for column in texts.columns), strict=True))
    return hashed, stored


class TextChecksum:
    """CRC-32 of each column of a table, as one text of its values: against accidents and not against people.

    The end of a batch does not matter: each value but the last of a batch is followed by END, and so is the batch.
    """

    END, NULL = b"\x1f", b"\x1e"  # control characters, which a JSON array does not hold

    def __init__(self, shape: Table) -> None:
        self._sums = [0] * len(shape.columns)

    def add(self, columns: Iterable[bytes]) -> None:
        """Add the next values of each column, joined by END."""
        self._sums = [zlib.crc32(self.END, zlib.crc32(text, before)) for before, text in zip(self._sums, columns, strict=True)]

    def hexdigest(self) -> str:
        """Return the sums of all columns so far."""
        return hashlib.sha256(repr(self._sums).encode()).hexdigest()


def _joined(texts: pa.StringArray) -> bytes:
    """Return a column as one text, values joined by END: as `_as_stored_text` makes it of what SQLite gives."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts.fill_null(TextChecksum.NULL.decode()))
    joined: bytes = pc.binary_join(whole, TextChecksum.END.decode())[0].as_buffer()
    return joined


def read_back(db: sqlite3.Connection, name: str, storage: str) -> tuple[int, str]:
    """Return rows and checksum of a table as the file has it."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"{name}_{storage}",)).fetchone():
        return 0, ""  # no checksum has this value; only a person with a tool can have dropped the table
    shape = replace(definition(name), columns=stored_columns(db, name, storage))
    key = ", ".join(quoted(column) for column in shape.key)
    columns = ", ".join(quoted(column.name) if _is_number(column) else f"CAST({quoted(column.name)} AS BLOB)" for column in shape.columns)
    cursor = db.execute(f"SELECT {columns} FROM {table_name(name, storage)} ORDER BY {key}")  # noqa: S608  checked identifiers
    count, stored = 0, TextChecksum(shape)
    for rows in one_ahead(iter(lambda: cursor.fetchmany(READ_ROWS), [])):
        stored.add(_as_stored_text(column, values) for column, values in zip(shape.columns, zip(*rows, strict=True), strict=True))
        count += len(rows)
    return count, stored.hexdigest()


def _as_stored_text(column: Column, values: tuple[Any, ...]) -> bytes:
    """Return values of a column as SQLite gives them, back in the text form that was sent: only numbers need turning."""
    import pyarrow as pa

    texts: Iterable[bytes | None] = values
    if column.type.startswith("float"):
        texts = pa.array(values, pa.float64()).cast(pa.float32()).cast(pa.string()).cast(pa.binary()).to_pylist()
    elif _is_number(column):
        texts = [None if value is None else b"%d" % value for value in values]
    try:
        return TextChecksum.END.join(texts)  # type: ignore[arg-type]  # most columns have no null, and this finds out soonest
    except TypeError:
        return TextChecksum.END.join(TextChecksum.NULL if text is None else text for text in texts)


def decoded(rows: list[tuple[object, ...]], columns: list[Column]) -> pa.RecordBatch:
    """Turn rows as SQLite gives them into the types of the definition."""
    import pyarrow as pa

    from hybridrec.tables import arrow_type

    arrays = []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        listed = column.type.startswith("list")
        decoded = [None if value is None else json.loads(str(value)) for value in values] if listed else list(values)
        turned = [None if value is None else bool(value) for value in decoded] if column.type == "bool" else decoded
        arrays.append(pa.array(turned, arrow_type(column.type)))
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def drop_unreferenced(db: sqlite3.Connection) -> None:
    """Drop what a killed attempt left; the caller is the only stager."""
    with transaction(db):
        referenced = {storage for (storage,) in db.execute("SELECT storage FROM publications WHERE state <> 'dropped'")}
        prefixes = tuple(f"{name}_" for name in PUBLISHED)
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if name.startswith(prefixes)]
        for name in tables:
            if not any(name.endswith(f"_{storage}") for storage in referenced):
                db.execute(f"DROP TABLE {quoted(name)}")


def drop_tables(db: sqlite3.Connection, storage: str) -> None:
    """Drop the tables of a storage, those that are there."""
    for name in PUBLISHED if storage else ():
        db.execute(f"DROP TABLE IF EXISTS {table_name(name, storage)}")
