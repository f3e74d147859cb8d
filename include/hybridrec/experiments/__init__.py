"""Experiments: which users get which variant of the lists, what came of it, and when that decides."""
