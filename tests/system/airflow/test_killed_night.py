"""A night whose jobs are killed everywhere publishes what the undisturbed one did."""

from __future__ import annotations

from pathlib import Path

from hybridrec.runs.run import Run
from tests.support.killed_night import kill_points, publish_though_killed


def test_a_killed_night_publishes_the_same_table(undisturbed: Run, night_home: Path) -> None:
    publish_though_killed(undisturbed, night_home, "killed_25_times", kill_points(undisturbed.folder), least=25)
