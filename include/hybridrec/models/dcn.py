"""Deep and cross network, version 2: layers of explicit products of features beside a perceptron.

Wang, Shivanna, Cheng, Jain, Lin, Hong and Chi, "DCN V2: improved deep and cross network", WWW 2021; the parallel
structure with cross matrices of low rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.pair_model import PairConfig, PairModel

if TYPE_CHECKING:
    from torch import nn

    from hybridrec.deep.fields import Layout

DOC = "Deep and cross network: products of features of rising degree, and a network (torch)."
BECAUSE = "what is known of you and of it goes together"
REQUIRED = False


@dataclass(frozen=True)
class Config(PairConfig):
    """Options.

    factors: length of a feature's vector.
    layers: number of cross layers.
    rank: rank of the cross layers' matrices.
    hidden: width of the perceptron's first layer.

    The other options are those of PairConfig and Schedule.
    """

    factors: int = 16
    layers: int = 2
    rank: int = 16
    hidden: int = 64


class Model(PairModel):
    """Cross layers and a perceptron."""

    config: Config

    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return embeddings, cross layers and the layers beside them."""
        from hybridrec.deep.networks.dcn import CrossNetwork

        return CrossNetwork(users, items, self.config.factors, self.config.rank, self.config.layers, self.config.hidden)
