"""Processes that outlive the one that started them, known by what their pid file holds."""

from __future__ import annotations

import psutil


def alive(pid: int, started_at: float) -> psutil.Process | None:
    """Return the process if it lives and started at that time: the system gives the id of an ended process to another one."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started_at) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None
