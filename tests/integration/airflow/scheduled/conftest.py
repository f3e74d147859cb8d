"""A window with Airflow's pages, and the option that dated nights are run with."""

from tests.support.browser import browser  # noqa: F401  fixture
from tests.support.dated_nights import k_is_an_option  # noqa: F401  fixture
