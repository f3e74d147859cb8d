"""Self-attention over the order of choices: what comes next after the newest ones.

Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018: causal attention over the newest items, one
embedding an item for input and answer. Trained by a softmax over sampled negatives with correction, without which it
learns to be too sure (Petrov and Macdonald, "gSASRec", RecSys 2023; Klenitskiy and Vasilev, "Turning dross into gold
loss: is BERT4Rec really better than SASRec?", RecSys 2023). The distance between two places is a learnt bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.deep.fields import id_codes
from hybridrec.deep.held_out import hold_out
from hybridrec.deep.schedule import Schedule
from hybridrec.errors import BadData
from hybridrec.models import Floats, TrainingData
from hybridrec.retrieval.dot import DotProductModel, Vectors

if TYPE_CHECKING:
    from hybridrec.deep.networks.attention import SequenceNetwork
    from hybridrec.deep.sequences import Sequences

DOC = "Self-attention over the newest items in their order (SASRec, torch)."
BECAUSE = "it often comes next after what you chose lately"
REQUIRED = False


@dataclass(frozen=True)
class Config(Schedule):
    """Options of the network and of its training.

    newest_items: how far back it looks. negatives: items that an answer is told from, shared by a batch. far_share: of the
    answers, share that may stand anywhere ahead instead of next, so that it learns a taste besides a sequence. readings:
    where nothing is known of time, a user is the mean of so many draws of `newest_items`.
    """

    batch_size: int = 24  # rows of `newest_items` places, which hold several short histories each
    examples_per_epoch: int = 3000
    learning_rate: float = 0.003
    weight_decay: float = 0.01
    max_epochs: int = 10
    dims: int = 64
    blocks: int = 1
    heads: int = 1
    dropout: float = 0.3
    newest_items: int = 50
    negatives: int = 1024
    far_share: float = 0.3
    readings: int = 4


class Model(DotProductModel[Config]):
    """What the network says behind each user's newest items, and the items' embeddings."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Learn to tell the next item, then read everybody's history once."""
        from hybridrec.deep.sampling import negatives
        from hybridrec.deep.sequences import SequenceLesson, embed_items, sequences, windows_to_learn
        from hybridrec.deep.training import reproducible, train

        config, ordered = self.config, data.split != "random_per_user"
        codes = id_codes(np.bincount(data.matrix.indices, minlength=data.matrix.shape[1]))
        cut = hold_out(data, config.validation_users)
        past = sequences(cut.matrix, cut.days, codes, data.seed)
        with reproducible(data.seed):
            network = self._network(int(codes.max()) + 1, ordered)
            rows = windows_to_learn(past, config.newest_items)
            lesson = SequenceLesson(network, past, rows, cut, codes, negatives(data.matrix), config.negatives, config.far_share, ordered)
            if not lesson.n_examples:
                raise BadData("models.sasrec: no user has two items, so nothing follows anything; load more history or leave it out")
            schedule = replace(config, examples_per_epoch=min(config.examples_per_epoch, lesson.n_examples))
            best = train(lesson, schedule, data.seed, "models.sasrec")
            users = self._read(data, network, sequences(data.matrix, data.last_event_day, codes, data.seed), ordered)
        self.vectors = Vectors(users, embed_items(network, codes), codes > 0)
        return {"epochs": float(best.epoch), "held_out_ndcg": best.judgement, "loss": best.loss}

    def _network(self, n_codes: int, ordered: bool) -> SequenceNetwork:
        from hybridrec.deep.networks.attention import SequenceNetwork

        config = self.config
        return SequenceNetwork(n_codes, config.newest_items, config.dims, config.blocks, config.heads, config.dropout, ordered)

    def _read(self, data: TrainingData, network: SequenceNetwork, past: Sequences, ordered: bool) -> Floats:
        """A vector for each user, zero without history."""
        from hybridrec.deep.sequences import embed_users, newest_windows

        known = np.flatnonzero(np.diff(past.starts))
        rows = newest_windows(past, known, self.config.newest_items)
        rng = np.random.default_rng(data.seed)
        readings = [past.codes] if ordered else [past.shuffled(known, rng) for _ in range(self.config.readings)]
        users = np.zeros((len(past.starts) - 1, self.config.dims), dtype=np.float32)
        users[known] = np.mean([embed_users(network, codes, rows) for codes in readings], axis=0)
        return users
