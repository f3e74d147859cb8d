"""Gather the facts of a report from a run's tables and records."""
