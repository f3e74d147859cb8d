"""A policy of the small world."""

from tests.support.policies import policy_folder  # noqa: F401  fixtures
