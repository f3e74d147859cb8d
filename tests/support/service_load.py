"""Clients that ask a service again and again while its file changes."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any

from hybridrec.targets.sqlite import SqliteTarget
from tests.support.published_rows import publish
from tests.support.serving import Client, locked, marks, published, put, started


class Load:
    """Clients of a service that ask again and again, and how late this process itself is woken."""

    def __init__(self, port: int, paths: list[str]) -> None:
        self.port, self.paths = port, paths
        self.waits: list[float] = []
        self.faults: list[str] = []
        self.seen: dict[str, int] = {}
        self.refused = 0
        self.late = 0.0
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]
        self._threads.append(threading.Thread(target=self._pulse))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        client = Client(self.port)
        while not self._end.is_set():
            path = self.paths[number % len(self.paths)]
            number += 1
            started = time.monotonic()
            try:
                status, headers, body = client.ask(path)
                self.waits.append(time.monotonic() - started)
                self._judge(path, status, headers, json.loads(body))
            except Exception as error:
                self.faults.append(f"{path}: {error!r}")
                client = Client(self.port)
        client.connection.close()

    def _judge(self, path: str, status: int, headers: http.client.HTTPMessage, answer: dict[str, Any]) -> None:
        if status == 503 and "locked" in answer["detail"] and headers["Retry-After"] == "1":
            self.refused += 1
        elif status != 200 or marks(answer) != {answer["version"].replace("v", "mark")} or len(answer["entries"]) != 5:
            self.faults.append(f"{path}: {status} {answer}")
        else:
            self.seen[answer["version"]] = self.seen.get(answer["version"], 0) + 1

    def _pulse(self) -> None:
        while not self._end.is_set():
            due = time.monotonic() + 0.01
            time.sleep(0.01)
            self.late = max(self.late, time.monotonic() - due)


def replace_under_load(home: Path, tmp_path: Path, seconds: float) -> None:
    """Put another file in place five times, newer and older ones, of each kind; lock it twice for two seconds, and publish in between."""
    path = home / "published" / "recommendations.db"
    publish(SqliteTarget(path), "v0", "mark0")
    files = {version: published(tmp_path, f"v{version}", f"mark{version}") for version in (1, 2, 3)}
    steps = [(1, "without a log"), (2, "with its log"), (3, "the old log stays"), (1, "with its log"), (2, "without a log")]
    with started() as (process, client):
        threading.Thread(target=lambda: process.stdout and process.stdout.read(), daemon=True).start()
        paths = ["/recommendations/u00001?k=5", "/recommendations/u00005?exclude=i006,i007,i001&k=5", "/recommendations/nobody?k=5"]
        begun = time.monotonic()
        with Load(client.port, paths) as load:
            for number, (version, how) in enumerate(steps):
                time.sleep(max(0.0, begun + seconds * number / len(steps) + 1.0 - time.monotonic()))
                put(files[version], path, how)
                if how == "without a log":
                    time.sleep(0.5)
                    with locked(path, "exclusive"):
                        time.sleep(2.0)
                else:
                    publish(SqliteTarget(path), f"v{10 + number}", f"mark{10 + number}")
            time.sleep(max(0.0, begun + seconds - time.monotonic()))
        assert load.faults[:5] == []
        assert set(load.seen) == {"v0", "v1", "v2", "v3", "v11", "v12", "v13"}
        assert load.refused >= 4
        assert max(load.waits) < 1.0 + load.late
        assert client.get("/health")[1]["version"] == "v2"
