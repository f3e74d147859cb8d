"""The option that dated nights are run with."""

from tests.support.dated_nights import k_is_an_option  # noqa: F401  fixture
