"""Training of the torch models. Imported only where a model is fitted: what a fit leaves are arrays."""
