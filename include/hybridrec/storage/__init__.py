"""Keep files and datasets: where they lie, how they become visible all at once, what they were made from."""
