"""Choose how much relevance an objective of the shop may cost: the strength of the boost, on the holdout split."""
