"""Two networks that put users and items into one space, where near means likely.

Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019: in-batch
softmax with logQ correction, a temperature, normalised embeddings. A user is the bag of the items of the history,
so no user has weights of its own; an item is an id embedding plus its content, so an item without events has a
place as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.errors import BadData
from hybridrec.models import Floats, Ints, Neighbours, TrainingData, UserBlock
from hybridrec.retrieval.dot import Vectors, no_vectors

if TYPE_CHECKING:
    from torch import Tensor

DOC = "Two towers: a bag of the history's items against id and content of the item (torch)."
BECAUSE = "it lies close to your taste as a whole"
REQUIRED = False


@dataclass(frozen=True)
class Config:
    """Options of the towers and of their training.

    content_dims: size that the content vectors are projected to before training. history_items: newest items in
    the bag. id_dropout: share of examples whose item must do with its content. patience: epochs without progress
    on the held-out events before training stops.
    """

    dims: int = 64
    hidden: int = 128
    content_dims: int = 64
    history_items: int = 50
    temperature: float = 0.15
    batch_size: int = 512
    examples_per_epoch: int = 200_000
    learning_rate: float = 0.005
    weight_decay: float = 0.1
    id_dropout: float = 0.1
    max_epochs: int = 12
    patience: int = 2
    validation_users: int = 2000


class Model:
    """The towers' outputs as two matrices; torch is needed to fit, not to recommend."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.vectors = no_vectors()
        self.weights: dict[str, Tensor] = {}

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Train the towers, keep the epoch that ranks the held-out events best, and embed everybody."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # two threads bought nothing, and the same bits whatever the machine
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(data.seed)
                return self._train(data)
        finally:
            torch.set_num_threads(threads)

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """The k unseen items nearest to the user."""
        return self.vectors.top_k(users, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Cosines of user and item; NaN without history or for an item with neither events nor content."""
        return self.vectors.score_pairs(users, rows, items)

    def save(self, folder: Path) -> None:
        """The two matrices, and the towers' weights as safetensors."""
        from safetensors.torch import save_file

        self.vectors.save(folder)
        save_file(self.weights, folder / "towers.safetensors")

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """The saved matrices, mapped; the weights stay on disk, where only further training needs them."""
        model = cls(config)
        model.vectors = Vectors.load(folder)
        return model

    def _train(self, data: TrainingData) -> dict[str, float]:
        from hybridrec.deep.histories import histories, hold_out_newest
        from hybridrec.deep.towers import Towers, Trainer, embed_items, embed_users

        config = self.config
        trained = np.bincount(data.matrix.indices, minlength=data.matrix.shape[1]) > 0
        content = dense_content(data, config.content_dims)
        towers = Towers(config, content, trained)
        split = hold_out_newest(data, content, config)
        best = Trainer(config, towers, split.kept, split.examples, split.held_out).run(data.seed)
        whole = histories(data.matrix, data.last_event_day, content, config.history_items)
        users = embed_users(towers, whole.of(np.arange(len(whole.bags))))
        self.vectors = Vectors(users, embed_items(towers), trained | (np.abs(content).sum(axis=1) > 0))
        if not (np.isfinite(users).all() and np.isfinite(self.vectors.items).all()):
            raise BadData("models.two_tower: training diverged; lower learning_rate under [models.two_tower]")
        self.weights = best.weights
        return {"epochs": float(best.epoch), "held_out_ndcg": best.ndcg, "loss": best.loss}


def dense_content(data: TrainingData, dims: int) -> Floats:
    """Content vectors of the items, projected to at most `dims` dimensions, float32 (n_items, dims)."""
    from sklearn.decomposition import TruncatedSVD

    from hybridrec.content import item_vectors

    vectors = item_vectors(data.items)
    n_dims = min(dims, min(vectors.shape) - 1)
    if n_dims < 1:
        return np.zeros((vectors.shape[0], 1), dtype=np.float32)
    found: Floats = TruncatedSVD(n_dims, random_state=data.seed).fit_transform(vectors).astype(np.float32)
    return found
