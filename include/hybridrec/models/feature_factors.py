"""Latent factors of what is known of users and items, so that a new item has its place among the others.

Kula, "Metadata embeddings for user and item cold-start recommendations", CBRecSys 2015 (LightFM): a user's or item's
vector is the sum of the embeddings of its id and attributes. The loss is WARP (Weston, Bengio and Usunier, "WSABIE: scaling
up to large vocabulary image annotation", IJCAI 2011), which cares most for the top of the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridrec.deep.factor_model import FactorConfig, FactorModel
from hybridrec.types import Log, OneOf

if TYPE_CHECKING:
    from hybridrec.deep.factors import Loss

DOC = "Latent factors of ids and attributes that rank the top of the list (LightFM, WARP loss, torch)."
BECAUSE = "people with a taste like yours choose things like it"
BECAUSE_OF = "people who chose {title} choose things like it"
REQUIRED = False
SEARCH = {"weight_decay": Log(0.1, 2.0), "learning_rate": Log(0.005, 0.05), "factors": OneOf((32, 64, 128))}


@dataclass(frozen=True)
class Config(FactorConfig):
    """The options of every factor model (FactorConfig, Schedule)."""


class Model(FactorModel[Config]):
    """Sums of the embeddings of ids and attributes; an item without events has those of its attributes."""

    USER_FIELDS = ("user", "age", "gender", "occupation", "region")
    ITEM_FIELDS = ("item", "brand", "price", "period", "categories")

    def loss(self) -> Loss:
        """Return items that come too close to the own one, more so near the top."""
        from hybridrec.deep.factors import warp_loss

        return warp_loss
