"""Store a version's rows: a separate schema with a table for each published name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybridrec.postgresql.connecting import transaction
from hybridrec.tables import Column
from hybridrec.versions.publications import PUBLISHED, definition

if TYPE_CHECKING:
    from psycopg import Connection

STORAGE = r"^hybridrec_[a-z0-9_]{1,40}_[0-9a-f]{8}$"  # the schema of one attempt
TYPES = {
    "string": 'text COLLATE "C"',  # the order of bytes, as Arrow's: what is read back in the order of the key has the same hash
    "bool": "boolean",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float32": "real",
    "float64": "double precision",
    "date": "date",
    "timestamp": "timestamptz",
}


def quoted(identifier: str) -> str:
    """Return the name as SQL wants it."""
    return '"' + identifier.replace('"', '""') + '"'


def qualified(name: str, storage: str) -> str:
    """Return a published table of the schema `storage`, as SQL wants it."""
    return f"{quoted(storage)}.{quoted(name)}"


def column_ddl(column: Column) -> str:
    """Return the column as CREATE TABLE wants it."""
    return f"{quoted(column.name)} {_typed(column)}{'' if column.nullable else ' NOT NULL'}"


def _typed(column: Column) -> str:
    listed = column.type.startswith("list<")
    kind = TYPES[column.type[5:-1] if listed else column.type]
    return kind.replace("text", "text[]", 1) if kind.startswith("text") and listed else f"{kind}{'[]' if listed else ''}"


def create_tables(db: Connection[tuple[Any, ...]], storage: str) -> None:
    """Make the schema and its tables, without keys."""
    with transaction(db):
        db.execute(f"CREATE SCHEMA {quoted(storage)}")
        for name in PUBLISHED:
            db.execute(f"CREATE TABLE {qualified(name, storage)} ({', '.join(map(column_ddl, definition(name).columns))})")


def create_missing(db: Connection[tuple[Any, ...]], storage: str) -> None:
    """Make the tables that a version from an earlier release does not have, empty."""
    there = {name for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (storage,))}
    for name in PUBLISHED:
        if name not in there:
            db.execute(f"CREATE TABLE {qualified(name, storage)} ({', '.join(map(column_ddl, definition(name).columns))})")


def shown_columns(db: Connection[tuple[Any, ...]], name: str, storage: str) -> str:
    """Return what a view selects from the table `t`; null for columns that a version from an earlier release does not have."""
    query = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    there = {column for (column,) in db.execute(query, (storage, name))}
    return ", ".join(
        f"t.{quoted(column.name)}" if column.name in there else f"NULL::{_typed(column)} AS {quoted(column.name)}"
        for column in definition(name).columns
    )


def add_keys(db: Connection[tuple[Any, ...]], storage: str) -> None:
    """Add keys after the rows: one sort is faster than a search for each row.

    ANALYZE tells the planner what came, by the key alone: to sample the lists took a third as long as loading them.
    """
    for name in PUBLISHED:
        key = ", ".join(map(quoted, definition(name).key))
        db.execute(f"ALTER TABLE {qualified(name, storage)} ADD PRIMARY KEY ({key})")
        db.execute(f"ANALYZE {qualified(name, storage)} ({key})")


def drop_unreferenced(db: Connection[tuple[Any, ...]]) -> None:
    """Drop what a killed attempt left; the caller is the only stager."""
    query = """
        SELECT nspname FROM pg_namespace WHERE nspname ~ %s AND pg_get_userbyid(nspowner) = current_user
        AND nspname NOT IN (SELECT storage FROM hybridrec.publications WHERE state <> 'dropped')
    """
    with transaction(db):
        for (storage,) in db.execute(query, (STORAGE,)).fetchall():
            drop_tables(db, storage)


def drop_tables(db: Connection[tuple[Any, ...]], storage: str) -> None:
    """Drop a version's tables; never CASCADE, so a view of the live version cannot go with them."""
    if storage:
        with db.transaction():
            for name in PUBLISHED:
                db.execute(f"DROP TABLE IF EXISTS {qualified(name, storage)}")
            db.execute(f"DROP SCHEMA IF EXISTS {quoted(storage)}")
