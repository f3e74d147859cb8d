"""Rank candidates: learners from few weights to trees, and how far each is trusted."""
