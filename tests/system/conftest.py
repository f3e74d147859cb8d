"""Fixtures of system tests: PostgreSQL, and Airflow's services with their first night."""

from tests.support.database import postgres_server  # noqa: F401  fixtures
from tests.support.scheduler import airflow_home, first_night, night_home, stack, undisturbed  # noqa: F401  fixtures
