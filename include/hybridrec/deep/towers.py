"""The two towers and their training loop.

Shapes: B examples of a batch, H items of a bag, D dims of the common space, I items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybridrec.deep.histories import Bags, Examples, Histories

if TYPE_CHECKING:
    from hybridrec.models import Floats
    from hybridrec.models.two_tower import Config

EMBED_ROWS = 4096


class Towers(nn.Module):  # type: ignore[misc]  # torch's types are not followed: they cost mypy a minute
    """An item is the sum of an id embedding and its projected content; a user is the mean of such sums, transformed.

    content: float32 (I, content_dims). trained: bool (I,), False for items without events, which are content only.
    """

    content: Tensor
    trained: Tensor

    def __init__(self, config: Config, content: Floats, trained: np.ndarray) -> None:
        super().__init__()
        n_items, n_content = content.shape
        self.id_dropout = config.id_dropout
        self.ids = nn.Embedding(n_items, config.dims)
        self.history_ids = nn.Embedding(n_items + 1, config.dims, padding_idx=n_items)
        nn.init.normal_(self.ids.weight, std=0.1)
        nn.init.normal_(self.history_ids.weight[:n_items], std=0.1)
        self.item_content = nn.Linear(n_content, config.dims, bias=False)
        self.history_content = nn.Linear(n_content, config.dims, bias=False)
        self.user = nn.Sequential(nn.Linear(config.dims, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.dims))
        self.register_buffer("content", torch.from_numpy(content), persistent=False)
        self.register_buffer("trained", torch.from_numpy(trained.astype(np.float32)[:, None]), persistent=False)

    def items(self, items: Tensor) -> Tensor:
        """Unit vectors of items (B,) -> (B, D)."""
        ids = self.ids(items) * self.trained[items]
        if self.training:  # now and then an item must do with its content, as a new one has to
            ids = ids * (torch.rand(len(items), 1) >= self.id_dropout)
        return F.normalize(ids + self.item_content(self.content[items]), dim=1)

    def users(self, bags: Tensor, content: Tensor) -> Tensor:
        """Unit vectors of users whose bags (B, H) hold item numbers, padded with I, and their mean content -> (B, D)."""
        ids = F.embedding_bag(bags, self.history_ids.weight, mode="mean", padding_idx=self.history_ids.padding_idx)
        bag = ids + self.history_content(content)
        return F.normalize(bag + self.user(bag), dim=1)


class Fit(NamedTuple):
    """The best epoch. ndcg: of the held-out events among all unseen items; loss: mean over the epoch's examples."""

    epoch: int
    ndcg: float
    loss: float
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Trainer:
    """Trains towers on examples; the held-out examples say when to stop."""

    config: Config
    towers: Towers
    histories: Histories
    examples: Examples
    held_out: Examples

    def run(self, seed: int) -> Fit:
        """Train until `patience` epochs bring no progress; the best epoch's weights are returned and loaded."""
        rng = np.random.default_rng(seed)
        optimiser = torch.optim.AdamW(self.towers.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay)
        best = Fit(0, -1.0, float("inf"), {})
        for epoch in range(1, self.config.max_epochs + 1):
            loss = self._epoch(optimiser, rng)
            ndcg = self._held_out_ndcg() if len(self.held_out.users) else -loss
            if ndcg > best.ndcg or not best.weights:
                best = Fit(epoch, ndcg, loss, {name: value.clone() for name, value in self.towers.state_dict().items()})
            if epoch - best.epoch >= self.config.patience:
                break
        self.towers.load_state_dict(best.weights)
        self.towers.eval()
        return best

    def _epoch(self, optimiser: torch.optim.Optimizer, rng: np.random.Generator) -> float:
        self.towers.train()
        chosen = rng.permutation(len(self.examples.users))[: self.config.examples_per_epoch]
        log_q = _log_frequency(self.examples.items, len(self.towers.ids.weight))
        total = 0.0
        for batch in _batches(chosen, self.config.batch_size):
            users, items = self.examples.users[batch], self.examples.items[batch]
            loss = self._loss(self.histories.without(users, items), torch.from_numpy(items), log_q)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(batch)
        return total / len(chosen)

    def _loss(self, bags: Bags, items: Tensor, log_q: Tensor) -> Tensor:
        users = self.towers.users(torch.from_numpy(bags.items), torch.from_numpy(bags.content))
        return in_batch_loss(users / self.config.temperature, self.towers.items(items), items, log_q)

    def _held_out_ndcg(self) -> float:
        self.towers.eval()
        items = embed_items(self.towers)
        users = embed_users(self.towers, self.histories.of(self.held_out.users))
        gains = []
        for rows in _batches(np.arange(len(users)), 256):
            scores = users[rows] @ items.T
            target = np.take_along_axis(scores, self.held_out.items[rows, None], axis=1)
            seen = self.histories.matrix[self.held_out.users[rows]]
            scores[np.repeat(np.arange(len(rows)), np.diff(seen.indptr)), seen.indices] = -np.inf
            gains.append(1 / np.log2(2 + (scores > target).sum(axis=1)))
        return float(np.concatenate(gains).mean())


def in_batch_loss(users: Tensor, items: Tensor, item_idx: Tensor, log_q: Tensor) -> Tensor:
    """Softmax loss of each user's own item against the batch's others, corrected for how often they are sampled."""
    same = (item_idx[:, None] == item_idx[None, :]).fill_diagonal_(False)  # another's copy of the own item is no negative
    logits = (users @ items.T - log_q[item_idx]).masked_fill_(same, -torch.inf)  # (B, B)
    return F.cross_entropy(logits, torch.arange(len(item_idx)))


def embed_items(towers: Towers) -> Floats:
    """Vectors of all items, float32 (I, D)."""
    with torch.no_grad():
        parts = [towers.items(torch.from_numpy(rows)) for rows in _batches(np.arange(len(towers.ids.weight)), EMBED_ROWS)]
    found: Floats = torch.cat(parts).numpy()
    return found


def embed_users(towers: Towers, bags: Bags) -> Floats:
    """Vectors of users with the given bags, float32 (n_users, D)."""
    parts = []
    with torch.no_grad():
        for rows in _batches(np.arange(len(bags.items)), EMBED_ROWS):
            parts.append(towers.users(torch.from_numpy(bags.items[rows]), torch.from_numpy(bags.content[rows])))
    found: Floats = torch.cat(parts).numpy()
    return found


def _log_frequency(items: np.ndarray, n_items: int) -> Tensor:
    counts = np.maximum(np.bincount(items, minlength=n_items), 1)
    return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))


def _batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
