"""The launcher's calls to Airflow, answered by a server that says what a test tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from hybridrec_local import rest

LOCKED = (500, {"detail": {"reason": "Database error"}})
QUEUED = (200, {"state": "queued", "dag_run_id": "r"})


@contextmanager
def airflow(*answers: tuple[int, object]) -> Iterator[tuple[rest.AirflowApi, list[str]]]:
    """Provide the client of a server that gives these answers after a login, and the requests that have come."""
    left = list(answers)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            login = self.path == "/auth/token"
            status, body = (201, {"access_token": "t"}) if login else left.pop(0)
            asked.extend([] if login else [self.command])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield rest.AirflowApi(f"http://127.0.0.1:{server.server_port}", "admin", "secret"), asked
        server.shutdown()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LOCKED_SECONDS", 0.01)


def test_a_locked_database_is_asked_again() -> None:
    with airflow(LOCKED, LOCKED, QUEUED, LOCKED, QUEUED) as (api, asked):
        assert api.state("nightly_retrain", "r") == "queued"
        api.fail("nightly_retrain", "r")
        assert asked == ["GET", "GET", "GET", "PATCH", "PATCH"]


def test_it_is_not_asked_for_ever() -> None:
    with airflow(*[LOCKED] * 9) as (api, asked), pytest.raises(rest.Refused, match="Database error"):
        api.state("nightly_retrain", "r")
    assert len(asked) == rest.TRIES


def test_what_would_start_twice_is_asked_once() -> None:
    with airflow(LOCKED, QUEUED) as (api, asked), pytest.raises(rest.Refused, match="500"):
        api.trigger("nightly_retrain", {})
    assert asked == ["POST"]


def test_another_error_is_told_at_once() -> None:
    with airflow((500, {"detail": "bug"})) as (api, asked), pytest.raises(rest.Refused, match="bug"):
        api.state("nightly_retrain", "r")
    assert asked == ["GET"]
