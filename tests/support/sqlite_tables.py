"""Read the tables in a SQLite target's file."""

from __future__ import annotations

import sqlite3

from hybridrec.targets.sqlite import SqliteTarget

OF_NO_VERSION = ("publications", "experiment_state", "experiment_log", "sqlite_sequence")


def sql(target: SqliteTarget, statement: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(target.path, isolation_level=None)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


def stored_tables(target: SqliteTarget) -> list[str]:
    names = sql(target, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [str(name) for (name,) in names if name not in OF_NO_VERSION]


KILLED = -9
