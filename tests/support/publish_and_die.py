"""Child of test_sqlite: publish version v2, and die by SIGKILL just before the n-th SQL statement.

usage: python -m tests.support.publish_and_die <database> <n>; prints the number of statements when it lives to the end.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from pathlib import Path

from hybridrec.targets.sqlite import SqliteTarget
from tests.support.published_rows import publish

path, deadly = Path(sys.argv[1]), int(sys.argv[2])
statements = 0
really_connect = sqlite3.connect


def count(statement: str) -> None:
    global statements  # noqa: PLW0603
    statements += 1
    if statements == deadly:
        os.kill(os.getpid(), signal.SIGKILL)


def connect(*arguments: object, **options: object) -> sqlite3.Connection:
    db: sqlite3.Connection = really_connect(*arguments, **options)  # type: ignore[call-overload]
    db.set_trace_callback(count)
    return db


sqlite3.connect = connect  # type: ignore[assignment]
publish(SqliteTarget(path), "v2", "two", keep=2)
print(statements)
