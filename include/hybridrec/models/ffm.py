"""Field-aware factorisation machine: a feature has another vector for each field that it meets.

Juan, Zhuang, Chin and Lin, "Field-aware factorization machines for CTR prediction", RecSys 2016. Vectors are much
shorter than a factorisation machine's, since each has one purpose only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.pair_model import PairConfig, PairModel

if TYPE_CHECKING:
    from torch import nn

    from hybridrec.deep.fields import Layout

DOC = "Field-aware factorisation machine: a feature's vector depends on what it meets (torch)."
BECAUSE = "what is known of you and of it goes together"
REQUIRED = False


@dataclass(frozen=True)
class Config(PairConfig):
    """Options.

    factors: length of a feature's vector for one field.

    The other options are those of PairConfig and Schedule.
    """

    factors: int = 8


class Model(PairModel):
    """A field-aware factorisation machine."""

    config: Config

    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return vectors by field, and weights, of all features."""
        from hybridrec.deep.networks.ffm import FieldAwareMachine

        return FieldAwareMachine(users, items, self.config.factors)
