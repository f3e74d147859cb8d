"""Describe a run: its manifest, its splits, its tables."""
