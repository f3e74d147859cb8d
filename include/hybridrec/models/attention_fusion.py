"""Fuse an item's id, content, attributes and popularity with learnt attention of the user.

After Vaswani et al., "Attention is all you need", NeurIPS 2017 (scaled dot-product attention), and Chen et al.,
"Attentive collaborative filtering", SIGIR 2017 (attention of the user over parts of an item).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.pair_model import PairConfig, PairModel
from hybridrec.types import Floats, TrainingData

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import nn

    from hybridrec.deep.fields import Layout

DOC = "Attention of the user over id, content, attributes and popularity of the item (torch)."
BECAUSE = "the side of it that you look at suits you"
REQUIRED = False


@dataclass(frozen=True)
class Config(PairConfig):
    """Options.

    factors: length of the vectors.
    content_dims: numbers that the content is projected to before training.

    The other options are those of PairConfig and Schedule.
    """

    factors: int = 32
    content_dims: int = 64


class Model(PairModel):
    """Attention over the parts of an item."""

    config: Config

    def dense(self, data: TrainingData, matrix: csr_array) -> Floats:
        """Return projected content."""
        from hybridrec.dataset.projection import content_vectors

        return content_vectors(data, self.config.content_dims)

    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return embeddings of all parts, and the attention."""
        from hybridrec.deep.networks.attention_fusion import AttentionFusion

        return AttentionFusion(users, items, self.config.factors)
