"""Feature combination: collaborative and content embeddings side by side, for one perceptron to combine.

Burke, "Hybrid recommender systems: survey and experiments", UMUAI 2002 (feature combination); collaborative vectors are
those of PureSVD (Cremonesi, Koren and Turrin, RecSys 2010) beside learnt ids. A user is the mean over the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.deep.pair_model import PairConfig, PairModel
from hybridrec.types import Floats, TrainingData

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import nn

    from hybridrec.deep.fields import Layout

DOC = "Collaborative and content embeddings of user and item in one network (torch)."
BECAUSE = "it fits your taste and resembles what you chose"
REQUIRED = False


@dataclass(frozen=True)
class Config(PairConfig):
    """Options.

    factors: length of a learnt vector.
    collaborative_dims: length of the given collaborative vectors.
    content_dims: length of the given content vectors.
    hidden: width of the first layer.

    The other options are those of PairConfig and Schedule.
    """

    factors: int = 32
    collaborative_dims: int = 64
    content_dims: int = 64
    hidden: int = 64


class Model(PairModel):
    """One perceptron over given and learnt vectors."""

    config: Config

    def dense(self, data: TrainingData, matrix: csr_array) -> Floats:
        """Return PureSVD vectors and projected content side by side."""
        from hybridrec.dataset.projection import content_vectors, item_factors

        config = self.config
        return np.hstack([item_factors(matrix, config.collaborative_dims, data.seed), content_vectors(data, config.content_dims)])

    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return embeddings and the layers above all vectors."""
        from hybridrec.deep.networks.feature_net import FeatureNet

        return FeatureNet(users, items, self.config.factors, self.config.hidden)
