"""A delivery of files that goes through land and clean."""

from tests.support.delivery import delivery  # noqa: F401  fixtures
