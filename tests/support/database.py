"""A PostgreSQL server of the tests' own, and an empty database for each test that asks."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

ADMINISTRATOR, PUBLISHER, READER = "administrator", "publisher", "hybridrec_reader"


@contextmanager
def server() -> Iterator[str]:
    """Start a server on this machine; yields its address for the publisher, without a database, and deletes its data at the end."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert binaries, "PostgreSQL is not installed; run .ci/install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="postgres_"))
    as_owner: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [*as_owner, str(binaries[-1] / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, timeout=60, cwd=folder, stdout=subprocess.DEVNULL)

    run("initdb", "-U", ADMINISTRATOR, "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        address = f"postgresql://{PUBLISHER}@127.0.0.1:{port}"
        administer(address, f"CREATE ROLE {PUBLISHER} LOGIN", f"CREATE ROLE {READER} LOGIN")
        yield address
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def as_role(address: str, role: str) -> str:
    """Return the same place for another role."""
    return re.sub(r"//\w+@", f"//{role}@", address)


def sql(address: str, statement: str) -> list[tuple[object, ...]]:
    """Run a statement in a separate transaction and return its rows."""
    with psycopg.connect(address, autocommit=True) as db:
        cursor = db.execute(statement)
        return cursor.fetchall() if cursor.description else []


def administer(address: str, *statements: str) -> None:
    """Run statements as the server's administrator; in the database `postgres` when the address names none."""
    place = as_role(address, ADMINISTRATOR)
    with psycopg.connect(place if place.count("/") > 2 else f"{place}/postgres", autocommit=True) as db:
        for statement in statements:
            db.execute(statement)


def fresh_database(address: str, name: str, place: str = "pg_default") -> str:
    """Return address of a database of that name with nothing in it, for its owner, the publisher. place: its tablespace."""
    administer(
        address,
        f"DROP DATABASE IF EXISTS {name} WITH (FORCE)",
        f"CREATE DATABASE {name} OWNER {PUBLISHER} TABLESPACE {place}",
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO {READER}",
    )
    return f"{address}/{name}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Provide one server for all tests."""
    with server() as address:
        yield address


@pytest.fixture
def postgres_address(postgres_server: str) -> Iterator[str]:
    """Provide address of an empty database, for its owner."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    yield fresh_database(postgres_server, name)
    administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")
