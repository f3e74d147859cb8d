"""Decide which list each segment of users gets, rank by it, and load it from the registry."""
