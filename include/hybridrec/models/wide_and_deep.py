"""Wide and deep: a linear part that remembers crosses of features, and a perceptron that generalises.

Cheng et al., "Wide & deep learning for recommender systems", DLRS 2016. The crosses are those of the user's features,
items of the history among them, with the item's categories, brand and other attributes, hashed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.pair_model import PairConfig, PairModel

if TYPE_CHECKING:
    from torch import nn

    from hybridrec.deep.fields import Layout

DOC = "Wide and deep: remembered crosses of user and item attributes, and a network (torch)."
BECAUSE = "what is known of you and of it goes together"
REQUIRED = False


@dataclass(frozen=True)
class Config(PairConfig):
    """Options.

    factors: length of a feature's vector.
    buckets: buckets that the item's attributes are hashed into.
    hidden: width of the perceptron's first layer.

    The other options are those of PairConfig and Schedule.
    """

    factors: int = 32
    buckets: int = 64
    hidden: int = 64


class Model(PairModel):
    """Crosses and a perceptron."""

    config: Config

    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return weights of crosses, embeddings and the layers above them."""
        from hybridrec.deep.networks.wide import WideAndDeep

        return WideAndDeep(users, items, self.config.factors, self.config.buckets, self.config.hidden)
