"""Find what the claims need of a machine: data sets for checks, other implementations."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.measure import Claim


class Missing(Exception):
    """A need that this machine does not meet; the message says which, and how it would."""


def feedback_data(name: str) -> Path:
    """Return a data set of the folder that HYBRIDREC_BENCH names, as `upworthy`; Missing if it is not there."""
    folder = os.environ.get("HYBRIDREC_BENCH", "")
    path = Path(folder) / "feedback" / f"{name}.parquet"
    if not folder or not path.exists():
        raise Missing(f"{name}: HYBRIDREC_BENCH is {folder!r}, expected a folder with feedback/{name}.parquet")
    return path


def those_possible(parts: Iterable[Callable[[], list[Claim]]]) -> list[Claim]:
    """Return the claims of all parts; one that raises Missing is left out, and its sentence printed."""
    claims: list[Claim] = []
    for part in parts:
        try:
            claims += part()
        except Missing as missing:
            print(f"left out: {missing}", file=sys.stderr)
    return claims
