"""Offer the look-up under its published name; see hybridrec.serving.lookup and hybridrec.serving.table_lookups."""

from hybridrec.serving.lookup import open_target, recommend
from hybridrec.serving.table_lookups import audience, bought_together, buy_again, trending

__all__ = ["audience", "bought_together", "buy_again", "open_target", "recommend", "trending"]
