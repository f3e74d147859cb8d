"""A finished night of the small world."""

from tests.support.finished_night import homes, night  # noqa: F401  fixtures
