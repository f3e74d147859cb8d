"""Each command of README is tried by some test."""

from __future__ import annotations

import pytest

from tests.support.documented_commands import Command, commands
from tests.support.readme import README, known


@pytest.mark.parametrize("command", commands(README), ids=lambda command: command.line)
def test_each_command_is_tried_somewhere(command: Command) -> None:
    assert known(command), "run it in tests/integration/airflow/scheduled/test_readme.py, or say in tests/support/readme.py what tries it"
