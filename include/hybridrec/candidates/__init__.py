"""Make the candidates of each user: nominated by the retrievers, scored by every model, with features."""
