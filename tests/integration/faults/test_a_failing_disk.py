"""A sample of the file-system calls of the store and of the SQLite target fails in turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.support.faults.failing_disk import SCENARIOS, Lane, on_linux, try_points

pytestmark = on_linux
STEPS = dict.fromkeys(SCENARIOS, 7) | {"figures": 1, "sqlite": 29}  # a call of SQLite costs the most


@pytest.mark.parametrize(("name", "step"), STEPS.items())
def test_each_nth_call_fails_in_turn(
    name: str, step: int, disk_lanes: SimpleQueue[Lane], folder: Path, tell: Callable[[str], None]
) -> None:
    tell(try_points(name, step, disk_lanes, folder))
