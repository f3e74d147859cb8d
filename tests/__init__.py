"""Tests: unit in seconds, integration with servers and Spark, system on the production topology and at every point of failure."""
