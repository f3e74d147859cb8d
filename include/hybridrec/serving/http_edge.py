"""Process every request before and after the look-up service's routes: host, id, HEAD, access log, unexpected errors."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, NamedTuple, TextIO
from urllib.parse import unquote_to_bytes

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.IGNORECASE)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
ERROR = "hybridrec.error"  # of the scope: what an answer does not say, for the access log
IS_HEAD = "hybridrec.head"  # of the scope of a request whose answer goes without its body
MAX_BODY = 256 * 1024  # bytes; a hundred events with long ids have half of that
MAX_LINES = 10_000  # of the access log that wait to be written; more are counted and dropped
WRITE_SECONDS = 0.1
log = logging.getLogger("hybridrec")


class Line(NamedTuple):
    """A request in the access log. route: its pattern, so that no id of a user or an item gets there."""

    time: float
    request_id: str
    method: str
    route: str
    status: int
    seconds: float
    error: str | None

    def as_json(self) -> str:
        """Return one line; JSON escapes whatever a client has put into it."""
        fields = self._asdict() | {"time": datetime.fromtimestamp(self.time, UTC).isoformat(timespec="milliseconds")}
        fields["ms"] = round(fields.pop("seconds") * 1000, 2)
        return json.dumps({name: value for name, value in fields.items() if value is not None})


class AccessLog:
    """Lines that a separate thread writes, so that an unread log or a full disk delays no answer."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._lines, self._dropped = out, deque[Line](), 0
        self._end = Event()
        self._thread = Thread(target=self._work, name="access-log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        """Have it written soon."""
        if len(self._lines) < MAX_LINES:
            self._lines.append(line)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Write what is left, if that takes less than a second."""
        self._end.set()
        self._thread.join(1.0)

    def _work(self) -> None:
        while not self._end.wait(WRITE_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        texts = [self._lines.popleft().as_json() for _ in range(len(self._lines))]
        if self._dropped:
            texts.append(json.dumps({"dropped_lines": self._dropped}))
            self._dropped = 0
        with suppress(OSError, ValueError):  # full, gone or closed: the service goes on without its log
            if texts:
                self._out.write("\n".join(texts) + "\n")
                self._out.flush()


class Edge:
    """An ASGI application around another one.

    hosts: names that a Host header may have, beside those of this machine. Any other is refused, so that a page in a browser
    cannot read the service under its own name (DNS rebinding). access_log: where a line for each request goes; None for nowhere.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], access_log: TextIO | None) -> None:
        self.app, self._out = app, access_log
        self._hosts = LOCAL_HOSTS | {host.lower() for host in hosts}
        self._log: AccessLog | None = None
        self.ending = False  # from then on each connection ends with its answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand on what is none."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._log = AccessLog(self._out) if self._out else None
        await self.app(scope, receive, send)
        if self._log:
            self._log.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, method = time.perf_counter(), scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET", IS_HEAD: True}  # the server sends no body: it goes by its own scope
        request_id, status = _request_id(scope), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                if self.ending:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._route(scope)(scope, receive, sending)
        except asyncio.CancelledError:  # the server ends and has waited for long enough
            scope[ERROR] = "cancelled at the end of the service"
        except Exception as error:  # it has been answered with 500
            scope[ERROR] = repr(error)
            log.exception("request %s", request_id.decode())
        if self._log:
            route = getattr(scope.get("route"), "path", "(none)")
            took = time.perf_counter() - started
            self._log.add(Line(time.time(), request_id.decode(), method, route, status, took, scope.get(ERROR)))

    def _route(self, scope: Scope) -> ASGIApp:
        """Return the application, or the answer that refuses the request."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        host = HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if host is None or host[1].decode().lower() not in self._hosts:
            return JSONResponse({"detail": "this service does not answer under this Host; --allowed-hosts names those it has"}, 421)
        if scope["method"] == "POST" and (refusal := _refused_body(scope)):
            return refusal
        if not _is_utf8(scope.get("raw_path") or b"") or not _is_utf8(scope["query_string"]):
            return JSONResponse({"detail": "the path or a parameter is not UTF-8; encode it as UTF-8, then with % signs"}, 422)
        return self.app


def _refused_body(scope: Scope) -> JSONResponse | None:
    """Return the answer to a body that is too long to be read, or that does not say its length; None for any other."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if not length.isdigit():
        return JSONResponse({"detail": "the request has no Content-Length; send its body in one piece, not in chunks"}, 411)
    if int(length) > MAX_BODY:
        sentence = f"the request has {int(length):,} bytes, expected at most {MAX_BODY:,}; send at most 100 events at a time"
        return JSONResponse({"detail": sentence}, 413)
    return None


def _request_id(scope: Scope) -> bytes:
    """Return the caller's, if it has one that may stand in a header and in a log; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            request_id: bytes = value
            return request_id
    return uuid.uuid4().hex.encode()


def _is_utf8(text: Any) -> bool:
    if b"%" not in text and text.isascii():
        return True
    try:
        unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return False
    return True
