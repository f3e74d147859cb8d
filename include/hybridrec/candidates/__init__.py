"""Make the candidates of each user: retrieved by the retrievers, scored by every model, with features."""
