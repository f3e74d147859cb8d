"""Servers and sessions that integration tests share; each starts when the first test asks for it."""

from tests.support.database import postgres_address, postgres_server  # noqa: F401  fixtures
from tests.support.scheduler import airflow_home, first_night, night_home, stack, undisturbed  # noqa: F401  fixtures
from tests.support.spark_session import spark  # noqa: F401  fixtures
