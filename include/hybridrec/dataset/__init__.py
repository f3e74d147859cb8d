"""Make a run's data: interactions, features, the catalogue that a fold knows, content vectors."""
