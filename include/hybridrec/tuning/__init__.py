"""Choosing a model's options on new data, by fits on a cut of its training data.

    inner_cut   what is held out, and for whom
    trials      options that are tried, judged and chosen
    tuned       what a search has found, kept for the nights that follow

`search` needs arrays only, no run: `search(model, data, options, Budget(trials=20, seconds=300), seed)`.
"""

from hybridrec.tuning.inner_cut import InnerCut, inner_cut
from hybridrec.tuning.trials import Budget, SearchResult, Trial, search, search_space

__all__ = ["Budget", "InnerCut", "SearchResult", "Trial", "inner_cut", "search", "search_space"]
