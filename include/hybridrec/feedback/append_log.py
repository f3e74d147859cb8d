"""The look-up's log: files of lines that only their own process appends to, in a background thread with a bounded queue.

    served/20260411T093012-1f2e3d4c/served-000001.jsonl
    served/20260411T093012-1f2e3d4c/events-000001.jsonl
    served/20260411T093012-1f2e3d4c/accepted

A line ends with a line feed, and a process never appends to another's file, so a line that a kill has torn stays the last of its file
and has no end. `accepted` counts the lines that were accepted, in memory that the system keeps when the process is killed: what is
missing in the files then is known. With a full disk lines wait in the queue; those for which it has no room are dropped and counted.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from hybridrec.feedback.lines import EVENTS, KINDS

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger("hybridrec")
ACCEPTED, LOCK = "accepted", ".lock"
COUNTER = struct.Struct("<Q")
MAX_LINES = 50_000  # that wait, of each kind; some 40 MB
WRITE_SECONDS = 0.1
CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class Limits:
    """Limits of a log: bytes and seconds after which a file is closed and the next one begins, lines that wait."""

    file_bytes: int = 64 * 2**20
    file_seconds: float = 3600.0
    lines: int = MAX_LINES


@dataclass(frozen=True)
class LogState:
    """State of a log of one kind. written, waiting, lost: lines since the service started. problem: why they wait, or ""."""

    written: int
    waiting: int
    lost: int
    problem: str


@dataclass
class _Kind:
    """Lines of one kind: those that wait, and the file that is open for them."""

    name: str
    lines: deque[bytes] = field(default_factory=deque)
    accepted: int = 0
    written: int = 0
    lost: int = 0
    problem: str = ""
    number: int = 0
    descriptor: int = -1
    size: int = 0
    opened_at: float = 0.0


class AppendLog:
    """A log of the kinds KINDS below a folder; `add` never waits for a disk and never fails."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self._root, self._limits = root, limits or Limits()
        self.folder = root / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._kinds = {name: _Kind(name) for name in KINDS}
        self._counter: mmap.mmap | None = None
        self._held: BaseFileLock | None = None
        self._adding, self._writing, self._end = Lock(), Lock(), Event()
        self._thread = Thread(target=self._work, name="feedback-log", daemon=True)

    def start(self) -> None:
        """Make the folder, if that is possible now, and begin to write."""
        with self._writing, suppress(OSError):  # it is tried again with the first lines
            self._open_folder()
        self._thread.start()

    def add(self, kind: str, lines: Sequence[bytes]) -> bool:
        """Have all of these lines written soon, or none; return whether they will be unless the process ends before.

        Events that are not taken are not lost: their sender hears of it and sends them again.
        """
        of_kind = self._kinds[kind]
        with self._adding:
            is_full = len(of_kind.lines) + len(lines) > self._limits.lines
            if is_full and kind == EVENTS:
                return False
            of_kind.accepted += len(lines)
            if self._counter is not None:
                COUNTER.pack_into(self._counter, COUNTER.size * KINDS.index(kind), of_kind.accepted)
            if is_full:
                of_kind.lost += len(lines)
                return False
            of_kind.lines.extend(lines)
        return True

    def state(self, kind: str) -> LogState:
        """Return what has become of the lines of a kind."""
        of_kind = self._kinds[kind]
        return LogState(of_kind.written, len(of_kind.lines), of_kind.lost, of_kind.problem)

    def flush(self) -> None:
        """Write what waits, now."""
        with self._writing:
            for kind in self._kinds.values():
                self._write(kind)

    def close(self) -> None:
        """Write what is left, if that takes no longer than CLOSE_SECONDS, and let others know that no more follows."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_SECONDS)
        if self._writing.acquire(timeout=CLOSE_SECONDS):
            for kind in self._kinds.values():
                _close(kind)
            if self._held is not None:
                self._held.release()
            self._writing.release()

    def _work(self) -> None:
        while not self._end.wait(WRITE_SECONDS):
            self.flush()
        self.flush()

    def _write(self, kind: _Kind) -> None:
        """Write the lines that wait, all of them or, as far as a reader of the file can see, none."""
        if kind.descriptor >= 0 and (kind.size >= self._limits.file_bytes or time.monotonic() - kind.opened_at > self._limits.file_seconds):
            _close(kind)
        with self._adding:  # they stay in the queue until they are in the file: so long they count
            taken = list(kind.lines)
        if not taken:
            return
        try:
            self._append(kind, b"\n".join(taken) + b"\n")
        except OSError as error:
            if not kind.problem:
                log.warning(
                    "%s: the %s log cannot be written: %s; its lines wait, and are dropped when too many do", self.folder, kind.name, error
                )
            kind.problem = error.strerror or str(error)
            return
        with self._adding:
            for _ in taken:
                kind.lines.popleft()
        kind.written += len(taken)
        kind.problem = ""

    def _append(self, kind: _Kind, text: bytes) -> None:
        self._open_folder()
        if kind.descriptor >= 0 and not os.fstat(kind.descriptor).st_nlink:  # somebody has removed the file
            _close(kind)
        if kind.descriptor < 0:
            self._open_file(kind)
        rest = memoryview(text)
        try:
            while rest:
                rest = rest[os.write(kind.descriptor, rest) :]
        except OSError:
            _take_back(kind)
            raise
        kind.size += len(text)

    def _open_folder(self) -> None:
        """Make this process's folder, hold its lock, and count on in its counter; once it is there, nothing is done."""
        if self._counter is not None and self.folder.is_dir():
            return
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        if self._held is not None:
            self._held.release()
        self._held = FileLock(self.folder / LOCK, thread_local=False, fallback_to_soft=False)
        self._held.acquire(blocking=False)
        size = COUNTER.size * len(KINDS)
        with os.fdopen(os.open(self.folder / ACCEPTED, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.write(b"\0" * size)  # not truncate: a hole in a file on a full disk would end the process at the first count
            file.flush()
            counter = mmap.mmap(file.fileno(), size)
        with self._adding:
            for number, kind in enumerate(self._kinds.values()):
                COUNTER.pack_into(counter, COUNTER.size * number, kind.accepted)
            self._counter = counter

    def _open_file(self, kind: _Kind) -> None:
        path = self.folder / f"{kind.name}-{kind.number + 1:06d}.jsonl"
        kind.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        kind.number, kind.size, kind.opened_at = kind.number + 1, 0, time.monotonic()


def _take_back(kind: _Kind) -> None:
    """Remove the part of a write that failed, so that the next line does not follow half a line; else go on in another file."""
    try:
        os.ftruncate(kind.descriptor, kind.size)
    except OSError:
        _close(kind)


def _close(kind: _Kind) -> None:
    if kind.descriptor >= 0:
        with suppress(OSError):
            os.close(kind.descriptor)
        kind.descriptor = -1
