"""A small run with ranked rows, ready for the rules."""

from tests.support.listed_run import ranked_home, ranked_run  # noqa: F401  fixtures
