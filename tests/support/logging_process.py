"""A forked process that keeps a feedback log and is killed at one of its writes, and lines for such a log."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from typing_extensions import Buffer

from hybridrec.feedback.append_log import AppendLog, Limits
from hybridrec.feedback.lines import EVENTS, SERVED, SERVED_LINE, Event, ServedLine, as_event_line

SERVED_AT = datetime(2026, 1, 20, 12, tzinfo=UTC)
N_LINES, BATCH = 60, 4


def served_line(number: int, **changes: object) -> bytes:
    """Return the line of list number so-and-so: u1 is served i1, i2, i3."""
    values: dict[str, object] = {
        "recommendation_id": f"{number:032x}",
        "served_at": SERVED_AT + timedelta(seconds=number),
        "user_id": "u1",
        "surface": "recommendations",
        "run_id": "night",
        "version": "v1",
        "experiment": None,
        "variant": None,
        "arm": None,
        "arm_probability": None,
        "item_ids": ("i1", "i2", "i3"),
        "slot_probabilities": None,
        "altered": False,
        "k": 3,
    }
    return SERVED_LINE.dump_json(ServedLine(**(values | changes)))  # type: ignore[arg-type]


def event_line(event_id: str, number: int, event_type: str = "click", item_id: str = "i2", **changes: object) -> bytes:
    """Return the line of an event that follows from list number so-and-so, ten seconds after it."""
    at = SERVED_AT + timedelta(seconds=number + 10)
    values: dict[str, object] = {"event_id": event_id, "recommendation_id": f"{number:032x}", "event_type": event_type, "item_id": item_id}
    values |= {"event_at": at, "position": None, "user_id": "u1"} | changes
    received_at = values.pop("received_at", at + timedelta(seconds=1))
    return as_event_line(Event(**values), received_at)  # type: ignore[arg-type]


def write_log(root: Path, served: list[bytes], events: list[bytes]) -> None:
    """Write a log as a process that has ended left it."""
    log = AppendLog(root)
    log.add(SERVED, served)
    log.add(EVENTS, events)
    log.flush()
    log.close()


def killed_process(root: Path, at_write: int, part: float) -> tuple[int, bool]:
    """Log lines in a process that dies at its nth write, after that part of its bytes; returns accepted lines, and whether it died."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _log_and_die(root, at_write, part, writing)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        accepted = told.read().count(b"\n")
    _, status = os.waitpid(pid, 0)
    return accepted, os.WIFSIGNALED(status)


def _log_and_die(root: Path, at_write: int, part: float, told: int) -> None:
    write, writes = os.write, 0

    def dying(descriptor: int, text: Buffer) -> int:
        nonlocal writes
        writes += 1
        if writes == at_write:
            write(descriptor, bytes(text)[: int(len(bytes(text)) * part)])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(descriptor, text)

    log = AppendLog(root, Limits(file_bytes=3_000))
    log._open_folder()
    os.write = dying
    for number in range(N_LINES):
        log.add(SERVED, [served_line(number)])
        write(told, b"\n")
        if number % BATCH == BATCH - 1:
            log.flush()
