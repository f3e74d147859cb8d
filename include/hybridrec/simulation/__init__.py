"""Make the synthetic shop of the source `synthetic`: items and users with hidden tastes, visits that follow from them."""
