"""Measure lists: metrics, the labels they are measured on, and how likely each position is examined."""
