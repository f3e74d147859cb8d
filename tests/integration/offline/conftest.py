"""Fixtures of the offline benchmark's tests."""

from tests.support.bare_delivery import folder

__all__ = ["folder"]
