"""The small world's run, before its candidates and as a finished night."""

from tests.support.finished_night import homes, night, small_run  # noqa: F401  fixtures
