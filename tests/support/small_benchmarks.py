"""The benchmarks as commands on small data."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import __main__ as everything
from benchmarks.measure import Claim
from tests.support import ROOT

QUICK = {
    "metrics": ("--users", "5000"),
    "publish": ("--users", "2000", "--rounds", "1"),
    "lookup": ("--users", "2000", "--seconds", "0.1"),
}
BESIDE_PEERS = {
    "topk": ("--small",),
    "item_item": ("--small", "--rounds", "1"),
    "ann": ("--items", "120000", "--users", "600"),
    "rank": ("--rows", "20000"),
}


def claims(name: str, *flags: str) -> list[Claim]:
    """Return what a benchmark claims at its end."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return everything.Part("", "", done.stdout).claims
