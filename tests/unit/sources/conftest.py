"""A delivered folder."""

from tests.support.delivered_folder import delivery  # noqa: F401  fixtures
