"""Connections to the published file, what their errors mean, and a transaction that writes."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from hybridrec.base.errors import NothingPublished, PermanentError

BUSY_SECONDS = 30.0  # a switch holds the write lock for milliseconds, a batch of rows for less than a second
FileId = tuple[int, int]  # device and inode


def open_read_only(path: Path, wait_seconds: float | None = None) -> sqlite3.Connection:
    """Return a connection for one thread at a time. wait_seconds: how long it waits for a lock, else as long as a writer."""
    wait_seconds = BUSY_SECONDS if wait_seconds is None else wait_seconds
    address = f"file:{quote(str(path))}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=wait_seconds, isolation_level=None, check_same_thread=False)


def open_to_write(path: Path) -> sqlite3.Connection:
    """Return a connection for one thread at a time, but not always the same one."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def file_id(path: Path | str) -> FileId | None:
    """Return the identity of the file at this path; None without one."""
    try:
        status = os.stat(path)  # noqa: PTH116  at every look-up, and Path's takes twice the time
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def in_sentences(path: Path, wait_seconds: float | None = None) -> Iterator[None]:
    """Turn SQLite's errors into ones that say what to do. wait_seconds: as for open_read_only."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "no such table" in text:
            raise NothingPublished(path) from error
        if "full" in text:
            raise OSError(errno.ENOSPC, text, str(path)) from error
        if "readonly" in text or ("unable to open" in text and not _may_write(path)):
            raise PermissionError(errno.EACCES, text, str(path)) from error
        if "lock" in text or "busy" in text:  # the third text is "locking protocol"
            waited = BUSY_SECONDS if wait_seconds is None else wait_seconds
            raise TimeoutError(f"{path}: {text}; another program has held the file for more than {waited:g} s") from error
        raise OSError(errno.EIO, text, str(path)) from error
    except sqlite3.DatabaseError as error:
        # so SQLite also calls a page that the disk does not give
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CORRUPT:
            advice = "publish again; if this comes again the file is damaged: move it away first, older versions are lost"
            raise OSError(errno.EIO, f"{error}; {advice}", str(path)) from error
        raise PermanentError(f"{path}: {error}; move the file away and publish again, older versions are lost") from error


def _may_write(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or (path.is_file() and os.access(path, os.W_OK)))


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run a block in one transaction that may write."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # some errors end it
            db.execute("ROLLBACK")
        raise
