"""Locks between the processes of a machine, each on a file that stays: the system frees one when its holder ends, however it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)
FOREVER = -1.0


@contextmanager
def exclusive(path: Path, waiting: str = "", seconds: float = FOREVER, failure: str = "") -> Iterator[None]:
    """Wait until no other process holds the lock, then hold it while the block lasts; a child that is forked in the block does not.

    waiting: logged if there is somebody to wait for. failure: the sentence of the TimeoutError after so many seconds.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False, fallback_to_soft=False)  # soft: a file that a killed holder would leave
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if waiting:
                log.info(waiting)
            lock.acquire(timeout=seconds)
    except Timeout:
        raise TimeoutError(failure) from None
    try:
        yield
    finally:
        with suppress(OSError):  # the block's work is done; the end of the process frees the lock too
            lock.release()
