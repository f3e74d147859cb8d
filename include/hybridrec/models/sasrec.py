"""Self-attention over the order of choices: what comes next after the newest ones.

Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018: causal attention over the newest items, one
vector an item for input and answer; here it is the sum of what is known of the item, so a new one has a place as well,
and the distance between two positions is a learnt bias. Trained by a softmax over sampled negatives with correction,
without which it learns to be too sure (Petrov and Macdonald, "gSASRec", RecSys 2023; Klenitskiy and Vasilev, "Turning
dross into gold loss: is BERT4Rec really better than SASRec?", RecSys 2023). Without times there is no order to learn: it attends to the
history as a set, drawn again each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.base.errors import PermanentError
from hybridrec.dataset.projection import content_vectors
from hybridrec.deep.fields import item_fields
from hybridrec.deep.held_out import hold_out
from hybridrec.deep.schedule import Schedule
from hybridrec.retrieval.dot import DotProductModel, Vectors
from hybridrec.types import Floats, TrainingData

if TYPE_CHECKING:
    from hybridrec.deep.networks.attention import SequenceNetwork
    from hybridrec.deep.sequences import Sequences, SequenceTask

DOC = "Self-attention over the newest items in their order (SASRec, torch)."
BECAUSE = "it often comes next after what you chose lately"
REQUIRED = False
ITEM_FIELDS = ("item", "brand", "provider", "price", "period", "categories", "content")


@dataclass(frozen=True)
class Config(Schedule):
    """Options of the network and of its training.

    batch_size: rows per step; a row has `newest_items` positions and holds several short histories.
    examples_per_epoch: at most this number of rows, drawn again for each epoch, so the cost of an epoch does not grow with the data.
    dims: length of the vectors.
    blocks: blocks of self-attention.
    heads: heads of each block.
    dropout: share of activations that are dropped in training.
    newest_items: items of the history that the network reads.
    negatives: items that an answer is compared with, shared by a batch.
    far_share: share of the answers that may be any later item instead of the next one, so that the network learns a taste as well as a
    sequence.
    id_dropout: share of a batch's items whose id is hidden.
    content_dims: numbers that an item's content is projected to before training.
    readings: if no times are known, a user is the mean of this number of draws of `newest_items`.

    The other options are those of Schedule.
    """

    batch_size: int = 16
    examples_per_epoch: int = 3000
    learning_rate: float = 0.004
    weight_decay: float = 0.1
    max_epochs: int = 8
    dims: int = 64
    blocks: int = 1
    heads: int = 1
    dropout: float = 0.3
    newest_items: int = 50
    negatives: int = 1024
    far_share: float = 0.3
    id_dropout: float = 0.1
    content_dims: int = 64
    readings: int = 4


class Model(DotProductModel[Config]):
    """The network's output after each user's newest items, and the items' vectors."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Learn to predict the next item, then read all users' histories once."""
        from hybridrec.deep.networks.field_sum import embed
        from hybridrec.deep.sequences import sequences
        from hybridrec.deep.training_loop import reproducible, train

        with reproducible(data.seed):
            task = self._task(data)
            rounds = replace(self.config, examples_per_epoch=min(self.config.examples_per_epoch, task.n_examples))
            best = train(task, rounds, data.seed, "models.sasrec")
            items = embed(task.network.items, task.items)
            users = self._users(task.network, items, sequences(data.matrix, data.last_event_day, data.seed), data.seed)
        self.vectors = Vectors(users, items, task.items.described())
        return {"epochs": float(best.epoch), "held_out_ndcg": best.judgement, "loss": best.loss}

    def _task(self, data: TrainingData) -> SequenceTask:
        from hybridrec.deep.networks.attention import SequenceNetwork
        from hybridrec.deep.sampling import negatives
        from hybridrec.deep.sequences import SequenceTask, sequences, windows_to_learn

        config, ordered = self.config, data.split != "random_per_user"
        cut = hold_out(data, config.validation_users)
        past = sequences(cut.matrix, cut.days, data.seed)
        rows = windows_to_learn(past, config.newest_items)
        if not len(rows.positions):
            raise PermanentError("models.sasrec: no user has two items, so nothing follows anything; load more history or leave it out")
        items = item_fields(data, content_vectors(data, config.content_dims)).only(ITEM_FIELDS)
        width, shape = config.newest_items, (config.dims, config.blocks, config.heads)
        network = SequenceNetwork(items.layout, width, *shape, config.dropout, ordered)
        draws = (negatives(data.matrix), config.negatives, config.far_share, config.id_dropout)
        return SequenceTask(network, past, rows, cut, items, *draws, ordered)

    def _users(self, network: SequenceNetwork, items: Floats, past: Sequences, seed: int) -> Floats:
        """Return a vector for each user, zero without history."""
        from hybridrec.deep.sequences import newest_windows, read

        known = np.flatnonzero(np.diff(past.starts))
        rows, rng = newest_windows(past, known, self.config.newest_items), np.random.default_rng(seed)
        orders = [past.items] if network.ordered else [past.shuffled(known, rng) for _ in range(self.config.readings)]
        users = np.zeros((len(past.starts) - 1, self.config.dims), dtype=np.float32)
        users[known] = np.mean([read(network, items, order, rows) for order in orders], axis=0)
        return users
