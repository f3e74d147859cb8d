"""Share between tests of all kinds: worlds, servers, browsers, faults."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the repository
