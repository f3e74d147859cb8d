"""Each message between the PostgreSQL target and its server is the last in turn, and its disk is full to every degree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from tests.support.faults.failing_server import try_degrees, try_messages
from tests.support.faults.writing_process import Server


def test_every_message_is_the_last_in_turn(wire_lanes: SimpleQueue[Server], postgres_server: str, tell: Callable[[str], None]) -> None:
    tell(try_messages(1, wire_lanes, postgres_server))


def test_a_disk_is_full_to_every_degree(
    wire_lanes: SimpleQueue[Server], postgres_server: str, small_disk: Path, tell: Callable[[str], None]
) -> None:
    tell(try_degrees(1, wire_lanes, postgres_server, small_disk))
