"""A writer that is killed at any packet leaves a whole state."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
from contextlib import suppress
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from hybridrec.storage import store


def text(word: str) -> str:
    """Return some hundred kilobytes, so that a file is more than one packet."""
    return f"{word}, and again " * 10_000


def write(folder: Path, word: str) -> None:
    with store.staged(folder) as attempt:
        (attempt / "a.txt").write_text(text(word))
        (attempt / "b.txt").write_text(text(word))


def read(folder: Path) -> set[str]:
    """Return what a machine sees that has nothing of the dataset yet."""
    shutil.rmtree(folder, ignore_errors=True)
    files = store.committed_files(folder, ".txt")
    assert len(files) == 2
    return {path.read_text() for path in files}


class Forwarder:
    """Passes packets on to a server of this machine; kills the victim before the packet of a number, and passes nothing more of it."""

    def __init__(self, port: int) -> None:
        self.server, self.left, self.victim, self.lock = port, -1, 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if counted and self.kills():
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def kills(self) -> bool:
        with self.lock:
            self.left -= 1
            if self.left == -1:
                os.kill(self.victim, signal.SIGKILL)
            return self.left < 0


def test_a_writer_killed_at_any_packet_leaves_a_whole_state(home: Path, object_storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, server = home / "runs" / "night" / "x", os.environ["AWS_ENDPOINT_URL"]
    write(folder, "first")
    forwarder, whole, tried = Forwarder(int(server.rsplit(":", 1)[1])), text("first"), 0
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["hybridrec.storage.store", "pyarrow.fs"])
    environment = dict(os.environ) | {"AWS_ENDPOINT_URL": forwarder.address}  # the fork server's own is that of its start
    for packet in count():
        start = processes.Event()
        writer = processes.Process(target=write_through, args=(environment, folder, str(packet), start))
        writer.start()
        assert writer.pid
        forwarder.left, forwarder.victim = packet, writer.pid
        start.set()
        writer.join(60)
        seen = read(folder)
        assert seen in ({whole}, {text(str(packet))})
        whole = seen.pop()
        if writer.exitcode == 0:
            break
        assert writer.exitcode == -signal.SIGKILL
        tried += 1
    forwarder.listener.close()
    logging.getLogger(__name__).info("a writer was killed before each of its %d packets", tried)
    assert tried > 10
    assert whole == text(str(packet))


def write_through(environment: dict[str, str], folder: Path, word: str, start: Event) -> None:
    """Write a dataset in the process that is killed."""
    os.environ |= environment
    start.wait()
    write(folder, word)
