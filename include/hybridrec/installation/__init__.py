"""Prepare an installation: compile the loops, archive Spark's classes."""
