"""A delivery of files that goes through land and clean, beside the look-up's log."""

from tests.support.delivery import clean_items, delivery  # noqa: F401  fixtures
