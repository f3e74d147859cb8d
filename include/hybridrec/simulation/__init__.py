"""Make up a shop for the data source `synthetic`: items and users with hidden tastes, visits that follow from them."""
