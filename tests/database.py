"""A PostgreSQL server of the tests' own, and an empty database for each test that asks."""

from __future__ import annotations

import os
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

READER = "hybridrec_reader"


@contextmanager
def server() -> Iterator[str]:
    """Address of a server on this machine with the readers' role, without a database; it forgets all at the end."""
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

    run("initdb", "-U", "publisher", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        address = f"postgresql://publisher@127.0.0.1:{port}"
        with psycopg.connect(f"{address}/postgres", autocommit=True) as db:
            db.execute(f"CREATE ROLE {READER} LOGIN")
        yield address
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """One server for all tests."""
    with server() as address:
        yield address


@pytest.fixture
def postgres_address(postgres_server: str) -> Iterator[str]:
    """Address of an empty database, for its owner."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
        yield f"{postgres_server}/{name}"
        db.execute(f"DROP DATABASE {name} WITH (FORCE)")
