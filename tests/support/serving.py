"""The look-up service in this process or one of its own, and clients of it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import uvicorn

from hybridrec.serving.service import create_app
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import Target
from tests.support.published_rows import publish

READS = ("/recommendations/u00001", "/items/i003/similar", "/popular", "/health")


class Client:
    """One kept connection, as a service's neighbour has."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
        status, _, body = self.ask(path, method)
        return status, json.loads(body)

    def post(self, path: str, body: object) -> tuple[int, dict[str, Any]]:
        status, _, answer = self.ask(path, "POST", json.dumps(body).encode(), Content_Type="application/json")
        return status, json.loads(answer)

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        self.connection.request(method, path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = self.connection.getresponse()
        return response.status, response.headers, response.read()


@contextmanager
def serving(place: Path | Target, **options: object) -> Iterator[Client]:
    app = create_app(SqliteTarget(place) if isinstance(place, Path) else place, **options)  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_keep_alive=60))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    client = Client(server.servers[0].sockets[0].getsockname()[1])
    try:
        yield client
    finally:
        client.connection.close()
        server.should_exit = True
        thread.join()


def ids(answer: dict[str, Any]) -> list[str]:
    return [entry["item_id"] for entry in answer["entries"]]


def published(folder: Path, version: str, mark: str) -> Path:
    path = folder / version / "recommendations.db"
    publish(SqliteTarget(path), version, mark)
    return path


def put(new: Path, path: Path, how: str) -> None:
    """Put a copy of a published file in the place of another one."""
    beside = new.with_name("beside.db")
    if how == "without a log":
        beside.unlink(missing_ok=True)
        with closing(sqlite3.connect(new)) as db:
            db.execute("VACUUM INTO ?", (str(beside),))
    else:
        shutil.copyfile(new, beside)
    beside.replace(path)
    if how != "the old log stays":
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def marks(answer: dict[str, Any]) -> set[str]:
    found = {entry["reason"].split('"')[1] for entry in answer["entries"] if '"' in entry["reason"]}
    return found | {entry["title"].split()[1] for entry in answer["entries"] if entry["title"]}


LOCKS = {
    "exclusive": "db = sqlite3.connect(path, isolation_level=None); db.execute('BEGIN EXCLUSIVE')",
    # so a reader of the log finds its index when another process is stuck in the middle of opening it: SQLite itself waits 10 s then
    "protocol": "file = open(path + '-shm', 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX, 3, 120)",
}


@contextmanager
def locked(path: Path, how: str) -> Iterator[None]:
    """Lock the file by another process."""
    code = f"import fcntl, sqlite3, sys; path = {str(path)!r}; {LOCKS[how]}; print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdin
    assert holder.stdout.readline() == b"held\n"
    yield
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def started(*options: str, access_log: IO[bytes] | int = subprocess.PIPE) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    """Provide the service as a process that answers. access_log: where it goes; an unread pipe holds only a few hundred lines."""
    port = free_port()
    command = [sys.executable, "-m", "hybridrec.service", "--port", str(port), *options]
    process = subprocess.Popen(command, env=dict(os.environ), stdout=access_log, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield process, Client(port)
    finally:
        process.kill()
        process.communicate()
