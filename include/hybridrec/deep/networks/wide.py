"""Wide and deep."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.sides import BagMean, Embeddings, Inputs, PairLayers, dot

HASH = 2_654_435_761  # Knuth's multiplier: neighbouring codes fall far apart


class WideAndDeep(nn.Module):  # type: ignore[misc]
    """A weight for each cross of a user's feature with an attribute of the item, plus a perceptron over embeddings.

    The item's attributes are hashed into buckets, so the crosses of a user's features are a row of weights by bucket,
    summed once a user; the item's side only says which buckets count.
    """

    def __init__(self, users: Layout, items: Layout, factors: int, buckets: int, hidden: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.crosses = Embeddings(users._replace(bags={}), buckets, std=0.0)
        self.user_vectors, self.item_vectors = Embeddings(users, factors), Embeddings(items, factors)
        self.layers = PairLayers(users.n_fields * factors, items.n_fields * factors, hidden)
        self.attributes = [index for index, name in enumerate(items.names) if name != "item"]

    def users(self, users: Inputs) -> Tensor:
        """Return (n, buckets + hidden)."""
        return torch.cat([self.crosses(users).sum(dim=1), self.layers.user(self.user_vectors(users).flatten(1))], dim=1)

    def items(self, items: Inputs) -> Tensor:
        """Return (n, buckets + hidden)."""
        return torch.cat([self._attributes(items), self.layers.item(self.item_vectors(items).flatten(1))], dim=1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of both parts."""
        n = self.buckets
        return dot(users[..., :n], items[..., :n]) + self.layers(users[..., n:], items[..., n:])

    def _attributes(self, items: Inputs) -> Tensor:
        """Return the share of each bucket in an item, (n, buckets)."""
        codes = items.codes[:, self.attributes].long()
        attributes = torch.zeros(len(codes), self.buckets).scatter_add_(1, self._bucket(codes), (codes > 0).float())
        for bag in items.bags.values():
            values = torch.arange(bag.shape[1])
            attributes += BagMean.apply(nn.functional.one_hot(self._bucket(values), self.buckets).float(), bag)
        return attributes

    def _bucket(self, codes: Tensor) -> Tensor:
        return codes * HASH % 2**32 * self.buckets // 2**32
