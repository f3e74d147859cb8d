"""A process that keeps a feedback log and is killed at one of its writes: `python -m tests.support.logging_process FOLDER WRITE PART`.

It prints the number of each line before it hands it to the log, and dies at write number WRITE after the share PART of its bytes.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hybridrec.feedback.append_log import AppendLog, Limits
from hybridrec.feedback.lines import SERVED

N_LINES, BATCH = 60, 4


def line(number: int) -> bytes:
    """Return a line of its own length."""
    return b'{"number": %d, "text": "%s"}' % (number, b"x" * (number % 7))


def main(folder: str, at_write: int, part: float) -> None:
    """Log lines in small files until the process is killed or all are logged."""
    write, writes = os.write, 0

    def dying(descriptor: int, text: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes == at_write:
            write(descriptor, bytes(text)[: int(len(text) * part)])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(descriptor, text)

    log = AppendLog(Path(folder), Limits(file_bytes=300))
    log.flush()
    log._open_folder()
    os.write = dying
    for number in range(N_LINES):
        log.add(SERVED, [line(number)])
        write(1, b"%d\n" % number)
        if number % BATCH == BATCH - 1:
            log.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
