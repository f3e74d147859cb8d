"""Connect to the database, explain its errors, and write in a transaction."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hybridrec.base.errors import NothingPublished, PermanentError

if TYPE_CHECKING:
    from psycopg import Connection

CONNECT_SECONDS = 10
LOCK_MS = 30_000
LOOK_UP_MS = 500  # a look-up's statement: its caller waits less than a second
LOOK_UP_CONNECT_SECONDS = 2  # libpq takes a smaller number for 2
WRITE_KEY = 4_730_101  # advisory lock of this database: the only writer of `publications`


def parsed(address: str) -> tuple[str, str]:
    """Return the settings for libpq, and host, port and database for messages, without the secret."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        words = conninfo_to_dict(address) if address else {}
    except ProgrammingError:  # its text may hold a part of the address
        words = {}
    if not words.get("dbname"):
        raise PermanentError("HYBRIDREC_POSTGRES is no address with a database; expected postgresql://user@host:5432/recommendations")
    shown = f"{words.get('host', 'localhost')}:{words.get('port', 5432)}/{words['dbname']}"
    options = f"{words.pop('options', '')} -c timezone=UTC".strip()
    words.setdefault("connect_timeout", CONNECT_SECONDS)
    return make_conninfo(**{name: str(value) for name, value in words.items()}, options=options), shown


def for_look_ups(conninfo: str) -> str:
    """Return the same address for connections that give up soon: on a lock, a slow statement, or a server that is gone without a word."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    options = conninfo_to_dict(conninfo).get("options") or ""
    limits = f"{options} -c statement_timeout={LOOK_UP_MS} -c lock_timeout={LOOK_UP_MS}"
    return make_conninfo(conninfo, options=limits, connect_timeout=LOOK_UP_CONNECT_SECONDS, tcp_user_timeout=1000 * LOOK_UP_CONNECT_SECONDS)


def database_error() -> type[Exception]:
    """Return the class of psycopg's errors; psycopg is imported where it is used."""
    from psycopg import Error

    return Error


@contextmanager
def in_sentences(shown: str, wait_ms: int = LOCK_MS) -> Iterator[None]:
    """Turn PostgreSQL's errors, from either driver, into ones that say what to do. wait_ms: how long a lock is waited for."""
    import adbc_driver_manager
    import psycopg

    try:
        yield
    except (psycopg.Error, adbc_driver_manager.Error) as error:
        raise _explained(shown, error.sqlstate or "", " ".join(str(error).split()), wait_ms) from error


def _explained(shown: str, state: str, text: str, wait_ms: int) -> Exception:
    """Return the error of this SQLSTATE; https://www.postgresql.org/docs/current/errcodes-appendix.html lists them."""
    if state in ("42P01", "3F000"):  # no such table, no such schema
        return NothingPublished(shown)
    if state == "42501" or state.startswith("28"):
        return PermissionError(errno.EACCES, text, shown)
    if state in ("55P03", "57014"):
        return TimeoutError(f"{shown}: {text}; another program has held a lock for more than {wait_ms / 1000:g} s")
    if state == "53100":
        return OSError(errno.ENOSPC, text, shown)
    if state.startswith("22"):
        return PermanentError(f"{shown}: {text}; PostgreSQL cannot hold such a value")
    if not state or state.startswith(("08", "57P")):
        return ConnectionError(f"{shown}: {text}; is the server up and HYBRIDREC_POSTGRES its address?")
    return OSError(errno.EIO, text, shown)


@contextmanager
def transaction(db: Connection[tuple[Any, ...]], lock_ms: int = LOCK_MS) -> Iterator[None]:
    """Allow one writer of `publications` at a time, so that a transaction can rely on the rows that it has read."""
    with db.transaction():
        db.execute(f"SET LOCAL lock_timeout = {lock_ms}")
        db.execute("SELECT pg_advisory_xact_lock(%s)", (WRITE_KEY,))
        yield
