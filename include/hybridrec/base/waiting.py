"""Wait for what another process does: ask until it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def first_true(ask: Callable[[], T], seconds: float, every: float) -> T:
    """Ask until the answer is true or the time is over; returns the last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() <= deadline:
        time.sleep(every)
    return answer
