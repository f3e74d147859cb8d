"""A policy of the small world."""

from tests.support.policies import policy_folder, policy_home  # noqa: F401  fixtures
