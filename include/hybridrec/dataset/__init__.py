"""Make a run's data: interactions, features, the catalogue that a split knows, content vectors."""
