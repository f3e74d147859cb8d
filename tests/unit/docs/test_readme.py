"""Each command of README is tried by some test, and the output of the tests themselves is what they print."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.support import ROOT
from tests.support.documented_commands import LEFT_OUT, Command, commands, steady
from tests.support.readme import README, known


@pytest.mark.parametrize("command", commands(README), ids=lambda command: command.line)
def test_each_command_is_tried_somewhere(command: Command) -> None:
    assert known(command), "run it in tests/integration/airflow/scheduled/test_readme.py, or say in tests/support/readme.py what tries it"


def test_the_output_of_make_test_is_that_of_its_commands() -> None:
    """The page shows each command that make runs, and the last line that pytest prints after each."""
    (shown,) = [command.output for command in commands(README) if command.line == "make test"]
    assert shown
    unset = {name: value for name, value in os.environ.items() if name not in ("WORKERS", "TESTS", "MAKEFLAGS")}
    planned = subprocess.run(["make", "-n", "test"], cwd=ROOT, env=unset, capture_output=True, text=True, check=True).stdout
    runs = [line for line in planned.splitlines() if " -m pytest " in line]
    told = steady(shown).splitlines()
    assert told[::3] == steady("\n".join(runs)).splitlines()
    assert set(told[1::3]) == {LEFT_OUT}
    ends = re.compile(r"# passed(, # skipped)?(, # warnings)? in #s \(#:#:#\)")
    assert len(told) == 3 * len(runs) and all(ends.fullmatch(line) for line in told[2::3]), told
