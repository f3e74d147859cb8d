"""Open a run: resolve once all that could differ between two attempts."""
