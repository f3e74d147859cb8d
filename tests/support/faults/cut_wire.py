"""A wire between clients and a PostgreSQL server that is cut at a chosen moment.

It passes messages of PostgreSQL's protocol on and counts them: what a client sends up to the one that makes the server act is a request,
what the server sends back is its answer.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Literal

# Query, Sync, CopyData, CopyDone, CopyFail, FunctionCall. Parse, Bind and Execute are void without their Sync; after a Terminate the
# client waits for nothing, and the server does what it does when the connection ends without one.
ACTS = b"QSdcfF"


@dataclass(frozen=True)
class Cut:
    """Before which message the wire is cut: the `at`-th request or answer. lasting: it stays cut, otherwise new connections work.

    killed: the client is killed at that moment.
    """

    side: Literal["request", "answer"]
    at: int
    lasting: bool = False
    killed: bool = False


@dataclass
class Wire:
    """The wire; port is where its clients connect. pid is the client to kill, known soon after the work began."""

    server: tuple[str, int]
    cut: Cut
    messages: int = 0
    pid: int = 0
    known: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        Thread(target=self._accept, daemon=True).start()

    def kill(self, pid: int) -> None:
        """Kill the client."""
        self.pid = pid
        self.known.set()

    def close(self) -> None:
        """End all connections."""
        self._hang_up([self._listener, *self._open])

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.server)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            asked = Event()
            Thread(target=self._pass_requests, args=(client, server, asked), daemon=True).start()
            Thread(target=self._pass_answers, args=(server, client, asked), daemon=True).start()

    def _pass_requests(self, client: socket.socket, server: socket.socket, asked: Event) -> None:
        with suppress(OSError):
            for kind, message in _messages(client, named=False):
                if kind in ACTS and self._is_the_one("request"):
                    self._strike()
                    break
                if kind in ACTS:
                    asked.set()
                server.sendall(message)
        self._hang_up([client, server])

    def _pass_answers(self, server: socket.socket, client: socket.socket, asked: Event) -> None:
        with suppress(OSError):
            for _, message in _messages(server, named=True):
                if asked.is_set() and self._is_the_one("answer"):
                    self._strike()
                    break
                asked.clear()
                client.sendall(message)
        self._hang_up([client, server])

    def _is_the_one(self, side: str) -> bool:
        with self._lock:
            self.messages += side == self.cut.side
            return side == self.cut.side and self.messages == self.cut.at

    def _strike(self) -> None:
        if self.cut.killed:
            self.known.wait()
            os.kill(self.pid, signal.SIGKILL)
        if self.cut.lasting:
            self.close()

    def _hang_up(self, ends: list[socket.socket]) -> None:
        for end in ends:
            with suppress(OSError):  # it is closed already
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            self._open.discard(end)
            end.close()


def _messages(end: socket.socket, named: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and bytes of each message; a client's first one has no kind and asks for the connection, so it counts as an act."""
    kind = end.recv(1) if named else b""
    while kind or not named:
        length = _exactly(end, 4)
        yield kind or ACTS[:1], kind + length + _exactly(end, struct.unpack("!I", length)[0] - 4)
        kind, named = end.recv(1), True


def _exactly(end: socket.socket, size: int) -> bytes:
    found = end.recv(size, socket.MSG_WAITALL) if size else b""
    if len(found) < size:
        raise ConnectionError("the other end has gone")
    return found


@contextmanager
def wire(server: tuple[str, int], cut: Cut) -> Iterator[Wire]:
    """Open a wire while the block lasts."""
    found = Wire(server, cut)
    try:
        yield found
    finally:
        found.close()
