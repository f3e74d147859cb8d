"""The base of every pair scorer: a model file adds its network and its options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from hybridrec.deep.fields import HISTORY, FieldTable, item_fields, newest, user_fields, with_history
from hybridrec.deep.held_out import hold_out
from hybridrec.deep.schedule import Schedule
from hybridrec.types import Floats, Ints, TrainingData, UserBlock

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import nn

    from hybridrec.deep.fields import Layout

USER_FIELDS = ("user", "age", "gender", "occupation", "region", "history_length", "hour", "weekday")
ITEM_FIELDS = ("item", "brand", "provider", "price", "period", "popularity", "categories")
NETWORK = "network.safetensors"


@dataclass(frozen=True)
class PairConfig(Schedule):
    """Options of every pair scorer.

    history_items: newest items of the history that describe a user.
    negatives: items drawn for each pair.
    id_dropout: share of users and items whose own embedding is hidden in training, so that the other features count.
    """

    history_items: int = 50
    negatives: int = 8
    id_dropout: float = 0.1


class PairModel(ABC):
    """A network over the fields of users and items, trained to rank a user's own items above random ones."""

    USER_FIELDS: ClassVar[tuple[str, ...]] = USER_FIELDS
    ITEM_FIELDS: ClassVar[tuple[str, ...]] = ITEM_FIELDS

    def __init__(self, config: PairConfig) -> None:
        self.config = config

    @abstractmethod
    def network(self, users: Layout, items: Layout) -> nn.Module:
        """Return the network for these inputs, a PairNetwork; the users have their history as one more bag, and its mean content."""

    def dense(self, data: TrainingData, matrix: csr_array) -> Floats:
        """Return vectors of the items for the network, float32 (n_items, n_dense); none unless a model wants them.

        matrix: the data's pairs without the held-out ones.
        """
        return np.zeros((data.matrix.shape[1], 0), dtype=np.float32)

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Train on all pairs but the held-out ones, which say when to stop."""
        from hybridrec.deep.pairs import PairTask
        from hybridrec.deep.sampling import negatives
        from hybridrec.deep.training_loop import reproducible, train

        config = self.config
        cut = hold_out(data, config.validation_users)
        items = item_fields(data, self.dense(data, cut.matrix)).only((*self.ITEM_FIELDS, "content"))
        self._know(user_fields(data).only(self.USER_FIELDS), items)
        bags = newest(cut.matrix, cut.days, config.history_items)
        with reproducible(data.seed):
            self.fitted = self._new_network()
            task = PairTask(
                self.fitted, self.users, self.items, bags, cut, negatives(data.matrix), config.negatives, config.id_dropout, data.seed
            )
            best = train(task, config, data.seed, self._name())
        return {"epochs": float(best.epoch), "held_out_ndcg": best.judgement, "loss": best.loss}

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return scores of pairs; NaN for a user without history and for an item of which the model knows nothing."""
        from hybridrec.deep.pairs import score
        from hybridrec.deep.training_loop import one_thread

        bags = newest(users.history, users.days, self.config.history_items)
        asked = with_history(self.users.take(users.user_idx), bags, self.items)
        known = (np.diff(users.history.indptr) > 0)[rows] & self.described[items]
        scores = np.full(len(rows), np.nan, dtype=np.float32)
        with one_thread():
            scores[known] = score(self.fitted, asked, self.items, rows[known], items[known])
        return scores

    def save(self, folder: Path) -> None:
        """Write the users' and items' codes, and the network's weights."""
        from hybridrec.deep.training_loop import save_weights

        self.users.save(folder, "users")
        self.items.save(folder, "items")
        save_weights(self.fitted, folder / NETWORK)

    @classmethod
    def load(cls, folder: Path, config: PairConfig) -> Self:
        """Return the saved codes, mapped, and the network with its weights."""
        from hybridrec.deep.training_loop import load_weights

        model = cls(config)
        model._know(FieldTable.load(folder, "users"), FieldTable.load(folder, "items"))
        model.fitted = model._new_network()
        load_weights(model.fitted, folder / NETWORK)
        return model

    def _know(self, users: FieldTable, items: FieldTable) -> None:
        self.users, self.items, self.described = users, items, items.described()

    def _new_network(self) -> nn.Module:
        users, items = self.users.layout, self.items.layout
        return self.network(users._replace(bags={**users.bags, HISTORY: len(self.items.codes)}, n_dense=items.n_dense), items)

    def _name(self) -> str:
        return type(self).__module__.removeprefix("hybridrec.")
