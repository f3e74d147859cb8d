"""The losses of factor models by hand, and what a model of attributes does without events or without attributes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from hybridrec.deep.factors import bpr_loss, warp_loss
from hybridrec.models import bpr, feature_factors
from hybridrec.types import TrainingData
from tests.support.checkerboard import EVEN_ITEMS, NEW_ITEM, SIDE, block, checkerboard

OWN = torch.tensor([2.0, 0.0])
OTHERS = torch.tensor([[0.5, 1.5, 3.0], [0.0, -2.0, 5.0]])
CHOSEN = torch.tensor([[False, False, False], [False, False, True]])  # the last is the user's own as well, so no negative


def test_bpr_counts_wrong_orders() -> None:
    first = (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-0.5)) + math.log1p(math.exp(1.0))) / 3
    second = (math.log(2.0) + math.log1p(math.exp(-2.0))) / 2
    assert bpr_loss(OWN, OTHERS, CHOSEN, 100).item() == np.float32((first + second) / 2)


def test_warp_weighs_excess_by_the_log_of_the_rank() -> None:
    first = math.log1p(100 * 2 / 3) * (0.5 + 2.0) / 2  # two of three come closer than 1, so about two thirds of 100 items do
    second = math.log1p(100 * 1 / 2) * 1.0
    np.testing.assert_allclose(warp_loss(OWN, OTHERS, CHOSEN, 100).item(), (first + second) / 2, rtol=1e-6)


def without_attributes(data: TrainingData) -> TrainingData:
    items = data.items.assign(categories=[[] for _ in range(SIDE + 1)])  # type: ignore[misc]
    users = pd.DataFrame({"user_idx": data.users.user_idx, "user_id": data.users.user_id})
    return replace(data, items=items, users=users.assign(age_years=pd.NA, gender=None, occupation=None, region=None))  # type: ignore[arg-type]


def test_a_new_item_lies_where_its_attributes_put_it() -> None:
    model = feature_factors.Model(feature_factors.Config())
    model.fit(checkerboard())
    users = block(checkerboard(), np.arange(SIDE))
    scores = model.score_pairs(users, np.arange(SIDE, dtype=np.int32), np.full(SIDE, NEW_ITEM, np.int32))
    assert scores[EVEN_ITEMS].min() > scores[EVEN_ITEMS + 1].max()  # it is of the even items' category


def test_ids_alone_are_enough() -> None:
    data = without_attributes(checkerboard())
    users = block(data, np.arange(SIDE))
    for module in (feature_factors, bpr):
        model = module.Model(module.Config())
        model.fit(data)
        np.testing.assert_array_equal(model.top_k(users, 1).items[:, 0], np.arange(SIDE))
        assert not model.vectors.scorable[NEW_ITEM]
