"""What tests of all kinds share: worlds, servers, browsers, faults."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the repository
