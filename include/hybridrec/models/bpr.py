"""Matrix factorisation that ranks: a user's own item should come before any other.

Rendle, Freudenthaler, Gantner and Schmidt-Thieme, "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.
Negatives are drawn half by popularity and shared by the batch; the steps are AdamW's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.factor_model import FactorConfig, FactorModel
from hybridrec.types import Log, OneOf

if TYPE_CHECKING:
    from hybridrec.deep.factors import Loss

DOC = "Latent factors of users and items that rank pairs of items (BPR, torch)."
BECAUSE = "people with a taste like yours prefer it"
BECAUSE_OF = "people who chose {title} prefer it"
REQUIRED = False
SEARCH = {"weight_decay": Log(0.05, 1.5), "learning_rate": Log(0.005, 0.05), "factors": OneOf((32, 64, 128))}


@dataclass(frozen=True)
class Config(FactorConfig):
    """The options of every factor model (FactorConfig, Schedule)."""

    weight_decay: float = 0.35


class Model(FactorModel[Config]):
    """One vector for each user and each item with events."""

    def loss(self) -> Loss:
        """Return pairs of items in the wrong order."""
        from hybridrec.deep.factors import bpr_loss

        return bpr_loss
