"""DeepFM: a factorisation machine and a perceptron that share their embeddings.

Guo, Tang, Ye, Li and He, "DeepFM: a factorization-machine based neural network for CTR prediction", IJCAI 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.pair_model import PairConfig, PairModel

if TYPE_CHECKING:
    from torch import nn

    from hybridrec.deep.fields import Layout

DOC = "Factorisation machine and a network over the same embeddings (torch)."
BECAUSE = "what is known of you and of it goes together"
REQUIRED = False


@dataclass(frozen=True)
class Config(PairConfig):
    """Options.

    factors: length of a feature's vector.
    hidden: width of the perceptron's first layer.

    The other options are those of PairConfig and Schedule.
    """

    factors: int = 32
    hidden: int = 64


class Model(PairModel):
    """A factorisation machine and a perceptron."""

    config: Config

    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return vectors and weights of all features, and the layers above."""
        from hybridrec.deep.networks.deepfm import DeepMachine

        return DeepMachine(users, items, self.config.factors, self.config.hidden)
