"""The base of the models whose vectors are sums of embeddings: a model file adds its fields and its loss."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np

from hybridrec.deep.fields import item_fields, user_fields
from hybridrec.deep.held_out import hold_out
from hybridrec.deep.schedule import Schedule
from hybridrec.retrieval.dot import DotProductModel, Vectors
from hybridrec.types import TrainingData

if TYPE_CHECKING:
    from hybridrec.deep.factors import Loss

FULL_EPOCH = 100_000  # examples with which the configured weight decay holds
SMALL_EPOCH = 40_000  # with fewer it grows no more


@dataclass(frozen=True)
class FactorConfig(Schedule):
    """Options of every factor model.

    batch_size: examples per step.
    examples_per_epoch: at most this number, drawn again for each epoch, so the cost of an epoch does not grow with the data.
    learning_rate: of the first epoch; it falls to 0 in equal steps.
    weight_decay: with 100,000 examples per epoch; with fewer it is larger, because each example pulls at the weights more.
    max_epochs: most passes over the examples.
    factors: length of the vectors.
    negatives: items drawn for each batch.
    """

    batch_size: int = 2048
    examples_per_epoch: int = 200_000
    learning_rate: float = 0.02
    weight_decay: float = 0.5
    max_epochs: int = 10
    factors: int = 64
    negatives: int = 128


Options = TypeVar("Options", bound=FactorConfig)


class FactorModel(DotProductModel[Options]):
    """Two sums of embeddings, trained to rank a user's own items first; kept as two matrices, without torch."""

    USER_FIELDS: ClassVar[tuple[str, ...]] = ("user",)
    ITEM_FIELDS: ClassVar[tuple[str, ...]] = ("item",)

    @abstractmethod
    def loss(self) -> Loss:
        """Return the loss that training minimises."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Train on all pairs but the held-out ones, which say when to stop."""
        from hybridrec.deep.factors import FactorTask
        from hybridrec.deep.networks.factors import Factors
        from hybridrec.deep.networks.field_sum import embed
        from hybridrec.deep.sampling import negatives
        from hybridrec.deep.training_loop import reproducible, train

        config = self.config
        cut = hold_out(data, config.validation_users)
        learnt = replace(data, matrix=cut.matrix, last_event_day=cut.days)  # what only the held-out pairs know has no embedding
        users = user_fields(learnt).only(self.USER_FIELDS)
        items = item_fields(learnt, np.zeros((data.matrix.shape[1], 0), np.float32)).only(self.ITEM_FIELDS)
        with reproducible(data.seed):
            network = Factors(users.layout, items.layout, config.factors)
            task = FactorTask(network, users, items, cut, negatives(cut.matrix), config.negatives, self.loss())
            schedule = replace(config, weight_decay=_weight_decay(config, task.n_examples))
            best = train(task, schedule, data.seed, type(self).__module__.removeprefix("hybridrec."))
            self.vectors = Vectors(embed(network.users, users), embed(network.items, items), items.described())
        return {"epochs": float(best.epoch), "held_out_ndcg": best.judgement, "loss": best.loss}


def _weight_decay(config: FactorConfig, n_examples: int) -> float:
    return config.weight_decay * FULL_EPOCH / max(min(n_examples, config.examples_per_epoch), SMALL_EPOCH)
