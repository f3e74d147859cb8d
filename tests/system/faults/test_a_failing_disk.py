"""Each file-system call of the store and of the SQLite target fails in turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.support.faults.failing_disk import SCENARIOS, Lane, on_linux, try_points

pytestmark = on_linux


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "figures"])
def test_every_call_fails_in_turn(name: str, disk_lanes: SimpleQueue[Lane], folder: Path, tell: Callable[[str], None]) -> None:
    tell(try_points(name, 1, disk_lanes, folder))
