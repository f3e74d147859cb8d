"""Publish a run's tables: check them, put them before readers, go back, hold."""
