"""Figures of what a night tries on some users, for the report."""
