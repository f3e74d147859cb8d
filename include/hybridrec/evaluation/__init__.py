"""Judging lists on held-out time: metrics, intervals, comparisons, the decision what is published, leak alarms."""
