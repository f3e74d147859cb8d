"""Describe a run: its manifest, its folds, its tables."""
