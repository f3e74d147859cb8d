"""A factorisation machine and a perceptron over the same embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks import fm
from hybridrec.deep.networks.sides import Embeddings, Inputs, PairLayers


class DeepMachine(nn.Module):  # type: ignore[misc]
    """The sum of the machine's and the perceptron's score."""

    def __init__(self, users: Layout, items: Layout, factors: int, hidden: int) -> None:
        super().__init__()
        self.n_machine = factors + 1
        self.user_features, self.item_features = Embeddings(users, factors + 1), Embeddings(items, factors + 1)
        self.layers = PairLayers(users.n_fields * factors, items.n_fields * factors, hidden)

    def users(self, users: Inputs) -> Tensor:
        """Return (n, factors + 1 + hidden)."""
        features = self.user_features(users)
        return torch.cat([fm.side(features), self.layers.user(features[..., :-1].flatten(1))], dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Return (n, factors + 1 + hidden)."""
        features = self.item_features(items)
        return torch.cat([fm.side(features), self.layers.item(features[..., :-1].flatten(1))], dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of both parts."""
        n = self.n_machine
        return fm.meet(users[..., :n], items[..., :n]) + self.layers(users[..., n:], items[..., n:])
