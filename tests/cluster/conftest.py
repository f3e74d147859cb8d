"""The cluster and its night, for every test here."""

from production import cluster, run_id  # noqa: F401  fixtures
