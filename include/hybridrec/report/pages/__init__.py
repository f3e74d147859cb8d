"""Draw the pages: reports, backtests, the list of runs."""
