"""Two networks that put users and items into one space, where near means likely.

Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019: in-batch
softmax with logQ correction, a temperature, normalised embeddings. A user is the bag of the items of the history,
so no user has weights of its own; an item is an id embedding plus its content, so an item without events has a
place as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hybridrec.dataset.projection import content_vectors
from hybridrec.deep.fields import item_fields, newest, user_fields, with_history
from hybridrec.deep.held_out import hold_out
from hybridrec.deep.schedule import Schedule
from hybridrec.retrieval.dot import DotProductModel, Vectors
from hybridrec.types import TrainingData

DOC = "Two towers: the history's items and the user's attributes against id, attributes and content of the item (torch)."
BECAUSE = "it lies close to your taste as a whole"
REQUIRED = False
USER_FIELDS = ("age", "gender", "occupation", "region", "history_length")
ITEM_FIELDS = ("item", "brand", "provider", "price", "period", "popularity", "categories", "content")


@dataclass(frozen=True)
class Config(Schedule):
    """Options of the towers and of their training.

    dims: length of the vectors that both towers give.
    hidden: width of the user's layer.
    content_dims: numbers that an item's content is projected to before training.
    history_items: newest items of the history that describe a user.
    temperature: divisor of the scores before the softmax; a smaller one stresses the hardest items.
    id_dropout: share of examples whose item's id is hidden.
    processes: 1 trains in this process; more share each batch, started by Spark's TorchDistributor on this machine or on the executors
    of a cluster. Gradients are averaged and each user's item is compared with those of the whole batch, so apart from dropout the fit
    is nearly that of one process; the same number of processes repeats it to the byte.

    The other options are those of Schedule.
    """

    batch_size: int = 512
    examples_per_epoch: int = 100_000
    learning_rate: float = 0.005
    weight_decay: float = 0.1
    max_epochs: int = 12
    dims: int = 64
    hidden: int = 128
    content_dims: int = 64
    history_items: int = 50
    temperature: float = 0.15
    id_dropout: float = 0.1
    processes: int = 1


class Model(DotProductModel[Config]):
    """The towers' outputs as two matrices; torch is needed to fit, not to recommend."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Train the towers, keep the epoch that ranks the held-out pairs best, and embed all users."""
        if self.config.processes == 1:
            return self._fit_alone(data)
        from hybridrec.deep.distributed import fit_in_processes

        together, metrics = fit_in_processes(Model(replace(self.config, processes=1)), data, self.config.processes)
        self.vectors = together.vectors
        return metrics

    def _fit_alone(self, data: TrainingData) -> dict[str, float]:
        from hybridrec.deep.networks.field_sum import embed
        from hybridrec.deep.networks.two_towers import TwoTowers
        from hybridrec.deep.sampling import negatives
        from hybridrec.deep.towers import TowerTask
        from hybridrec.deep.training_loop import reproducible, train

        config = self.config
        cut = hold_out(data, config.validation_users)
        users = user_fields(data).only(USER_FIELDS)
        items = item_fields(data, content_vectors(data, config.content_dims)).only(ITEM_FIELDS)
        whole = with_history(users, newest(data.matrix, data.last_event_day, config.history_items), items)
        with reproducible(data.seed):
            towers = TwoTowers(whole.layout, items.layout, config.dims, config.hidden, config.temperature)
            bags = newest(cut.matrix, cut.days, config.history_items)
            task = TowerTask(towers, users, items, bags, cut, negatives(data.matrix), 0, config.id_dropout, data.seed)
            best = train(task, config, data.seed, "models.two_tower")
            self.vectors = Vectors(embed(towers.users, whole), embed(towers.items, items), items.described())
        return {"epochs": float(best.epoch), "held_out_ndcg": best.judgement, "loss": best.loss}
