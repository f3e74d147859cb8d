"""A delivery of files that goes through land and clean."""

from tests.support.delivery import clean_items, delivery  # noqa: F401  fixtures
from tests.support.spark_session import compiled_stages, spark  # noqa: F401  fixtures
