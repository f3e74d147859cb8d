"""The networks' arithmetic against the plain form of each paper's equation."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy.sparse import csr_array

from hybridrec.deep.fields import Layout
from hybridrec.deep.networks.attention_fusion import AttentionFusion
from hybridrec.deep.networks.dcn import CrossLayer
from hybridrec.deep.networks.ffm import FieldAwareMachine, field_products
from hybridrec.deep.networks.fm import FactorisationMachine, pairwise_products
from hybridrec.deep.networks.sides import BagMean, Embeddings, Inputs, PairLayers
from hybridrec.deep.networks.wide import WideAndDeep

USERS = Layout(("user", "age"), 5, {"history": 3})
ITEMS = Layout(("item", "brand"), 6, {}, n_dense=2)
BAG = csr_array(np.array([[0.5, 0.5, 0], [0, 0, 0]], dtype=np.float32))
USER_ROWS = Inputs(torch.tensor([[1, 3], [2, 0]]), {"history": BAG}, torch.ones(2, 2))
ITEM_ROWS = Inputs(torch.tensor([[1, 4], [2, 5]]), {}, torch.tensor([[1.0, 2], [0, 1]]))


def test_what_is_unknown_has_no_embedding() -> None:
    rows = Embeddings(USERS, 4)(USER_ROWS)
    assert rows.shape == (2, 3, 4)
    assert not rows[1, 1].any(), "code 0"
    assert not rows[1, 2].any(), "an empty bag"


def test_a_bags_gradient_is_that_of_the_product() -> None:
    table = torch.randn(3, 4, requires_grad=True)
    weights = torch.randn(2, 4)
    (BagMean.apply(table, BAG) * weights).sum().backward()
    found, table.grad = table.grad, None
    (torch.from_numpy(BAG.toarray()) @ table * weights).sum().backward()
    torch.testing.assert_close(found, table.grad)


def test_products_of_all_pairs_in_linear_time() -> None:
    vectors = torch.randn(3, 5, 4)
    plain = sum((vectors[:, f] * vectors[:, g]).sum(dim=1) for f, g in itertools.combinations(range(5), 2))
    torch.testing.assert_close(pairwise_products(vectors), plain)
    torch.testing.assert_close(pairwise_products(torch.tensor([[[1.0, 2], [3, 4], [5, 6]]])), torch.tensor([11.0 + 17 + 39]))


def test_a_factorisation_machine_is_its_double_sum() -> None:
    network = FactorisationMachine(USERS, ITEMS, 4)
    features = torch.cat([network.user_features(USER_ROWS), network.item_features(ITEM_ROWS)], dim=1)
    vectors, weights = features[..., :-1], features[..., -1]
    found = network(network.users(USER_ROWS), network.items(ITEM_ROWS))
    torch.testing.assert_close(found, weights.sum(dim=1) + pairwise_products(vectors))


def test_a_field_aware_machine_is_its_double_sum() -> None:
    network = FieldAwareMachine(USERS, ITEMS, 2)
    features = torch.cat([network.user_features(USER_ROWS), network.item_features(ITEM_ROWS)], dim=1)
    vectors, weights = features[..., :-1].unflatten(2, (5, 2)), features[..., -1]
    plain = sum((vectors[:, f, g] * vectors[:, g, f]).sum(dim=1) for f, g in itertools.combinations(range(5), 2))
    torch.testing.assert_close(field_products(vectors), plain)
    found = network(network.users(USER_ROWS), network.items(ITEM_ROWS))
    torch.testing.assert_close(found, weights.sum(dim=1) + plain)


def test_a_cross_layer_by_hand() -> None:
    layer = CrossLayer(width=2, rank=1)
    with torch.no_grad():
        layer.narrow.weight.copy_(torch.tensor([[1.0, 0]]))
        layer.widen.weight.copy_(torch.tensor([[3.0], [4]]))
        layer.widen.bias.copy_(torch.tensor([0.0, 1]))
        found = layer(torch.tensor([1.0, 2]), torch.tensor([5.0, 6]))
    assert found.tolist() == [1 * (3 * 5) + 5, 2 * (4 * 5 + 1) + 6]


def test_layers_that_start_a_side_at_a_time_are_a_perceptron_of_both() -> None:
    layers = PairLayers(3, 2, 4)
    users, items = torch.randn(5, 3), torch.randn(5, 2)
    whole = torch.nn.functional.linear(
        torch.cat([users, items], dim=1), torch.cat([layers.user.weight, layers.item.weight], dim=1), layers.user.bias
    )
    torch.testing.assert_close(layers(layers.user(users), layers.item(items)), layers.later(whole).squeeze(1))


def test_attention_without_preference_is_the_mean_of_the_parts() -> None:
    network = AttentionFusion(USERS, ITEMS, 4)
    with torch.no_grad():
        network.attention.weight.zero_()
        network.attention.bias.zero_()
        network.item_features.codes.weight[:, -1] = 0
        users, items = network.users(USER_ROWS), network.items(ITEM_ROWS)
        parts = items[:, :-1].unflatten(1, (3, 4))  # id, brand, content
        torch.testing.assert_close(network(users, items), (parts * users[:, None, 4:]).sum(dim=2).mean(dim=1))


def test_wide_part_weighs_each_user_feature_with_each_attribute() -> None:
    network = WideAndDeep(USERS, ITEMS, factors=4, buckets=8, hidden=4)
    with torch.no_grad():
        for values in network.layers.parameters():
            values.zero_()
        network.crosses.codes.weight.copy_(torch.arange(5 * 8).reshape(5, 8))
        bucket = network._bucket(torch.tensor([4, 5]))  # of the two brands
        found = network(network.users(USER_ROWS), network.items(ITEM_ROWS))
    assert found.tolist() == [(8 + bucket[0]) + (24 + bucket[0]), 16 + bucket[1]]
