"""Decide what a split learns from and what it is judged on: cuts in time, held-out pairs, which ratings count as likes."""
