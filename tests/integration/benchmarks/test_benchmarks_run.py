"""The benchmarks run on small data and end with their claims."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import __main__ as everything
from tests.support import ROOT


@pytest.mark.parametrize(
    "command",
    [
        ["topk", "--small"],
        ["item_item", "--small", "--rounds", "1"],
        ["ann", "--items", "120000", "--users", "600"],
        ["rank", "--rows", "20000"],
        ["metrics", "--users", "5000"],
        ["publish", "--users", "2000", "--rounds", "1"],
        ["lookup", "--users", "2000", "--seconds", "0.1"],
    ],
    ids=lambda command: command[0],
)
def test_a_benchmark_runs_and_ends_with_its_claims(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert everything.Part("", "", done.stdout).claims
