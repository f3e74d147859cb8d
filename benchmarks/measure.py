"""Time ours and a peer in turns in the same run, and state a claim.

claim topk_vs_faiss ratio 2.31 bar 1.00 ok
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROUNDS = 5


class Claim(NamedTuple):
    """Speed relative to a peer, or share of a target; at least `bar` of it is claimed, or `at_most` that."""

    name: str
    ratio: float
    bar: float
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """Whether the bar is reached; no number that is not one reaches it."""
        return "ok" if (self.ratio <= self.bar if self.at_most else self.ratio >= self.bar) else "short"

    def text(self) -> str:
        """Return one line that ends with the verdict; the ratio is rounded down, so that a near miss stays visible."""
        hundredths = math.floor(round(self.ratio * 100, 6))  # 0.29 * 100 is a little less than 29
        return f"claim {self.name} ratio {hundredths / 100:.2f} bar {self.bar:.2f} {self.verdict}"

    def value_text(self) -> str:
        """Return the same for a value that is no ratio, as an error or a share."""
        return f"claim {self.name} value {self.ratio:.6g} bar {self.bar:g} {self.verdict}"


def in_turns(steps: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return median seconds of each step. The steps take turns, so that what else the machine does hits all alike; once to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(seconds_of(step))
    return {name: statistics.median(values) for name, values in seconds.items()}


def seconds_of(step: Callable[[], object]) -> float:
    """Return wall seconds of a step."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def machine(*packages: str) -> str:
    """Return processor, cores, and versions of Python and of the packages."""
    info = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    )
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{(models or [platform.machine()])[0]}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"
