"""Judge lists on held-out time: intervals, comparisons, the decision what is published, the gate, backtests, leak alarms."""
