"""Factorisation machine: every two features of user, item and context have a product of their vectors.

Rendle, "Factorization machines", ICDM 2010: the sum over all pairs of features in time linear in their number. The
features are ids, the user's attributes and history, the item's attributes, and the time of the pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.pair_model import PairConfig, PairModel

if TYPE_CHECKING:
    from torch import nn

    from hybridrec.deep.fields import Layout

DOC = "Factorisation machine over ids, attributes, history and time (torch)."
BECAUSE = "what is known of you and of it goes together"
REQUIRED = False


@dataclass(frozen=True)
class Config(PairConfig):
    """Options.

    factors: length of a feature's vector.

    The other options are those of PairConfig and Schedule.
    """

    factors: int = 32


class Model(PairModel):
    """A factorisation machine."""

    config: Config

    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return vectors and weights of all features."""
        from hybridrec.deep.networks.fm import FactorisationMachine

        return FactorisationMachine(users, items, self.config.factors)
