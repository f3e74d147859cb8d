"""Neural matrix factorisation: a generalised product of factors and a perceptron, added up.

He, Liao, Zhang, Nie, Hu and Chua, "Neural collaborative filtering", WWW 2017. A user is an id and, so that few epochs
are enough, the mean over the history's items. Trained by a softmax over sampled items, not by yes or no pair by pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.pair_model import PairConfig, PairModel

if TYPE_CHECKING:
    from torch import nn

    from hybridrec.deep.fields import Layout

DOC = "Neural matrix factorisation: factors multiplied, and a network beside it (torch)."
BECAUSE = "people with a history like yours chose it"
REQUIRED = False


@dataclass(frozen=True)
class Config(PairConfig):
    """Options.

    factors: length of the vectors of both parts.
    hidden: width of the perceptron's first layer.

    The other options are those of PairConfig and Schedule.
    """

    factors: int = 32
    hidden: int = 64


class Model(PairModel):
    """Factors and a perceptron over ids and history."""

    config: Config

    USER_FIELDS = ("user",)
    ITEM_FIELDS = ("item",)

    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return both parts with embeddings of their own."""
        from hybridrec.deep.networks.neumf import NeuralFactors

        return NeuralFactors(users, items, self.config.factors, self.config.hidden)
