"""Each rule on lists whose answer can be read off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.rules import category_cap, mmr, new_item_boost, out_of_stock, seen
from tests.support.made_lists import context, items_of, random_world, ranked

DRAMA = [["Drama"]] * 6


def test_seen_drops_each_users_own_history() -> None:
    lists = ranked({3: {0: 0.9, 1: 0.8, 5: 0.1}, 7: {0: 0.9, 1: 0.8, 5: 0.1}})
    after = seen.apply(lists, context(DRAMA, seen={3: [0, 5], 7: [1]}))
    assert items_of(after, 3) == [1]
    assert items_of(after, 7) == [0, 5]


def test_seen_drops_what_a_user_had_and_did_not_like() -> None:
    lists = ranked({3: {0: 0.9, 1: 0.8, 5: 0.1}, 7: {0: 0.9, 1: 0.8, 5: 0.1}})
    disliked = csr_array(([1.0], ([1], [0])), shape=(2, 6))
    after = seen.apply(lists, replace(context(DRAMA, seen={3: [5], 7: [1]}), disliked=disliked))
    assert items_of(after, 3) == [0, 1]
    assert items_of(after, 7) == [5]


def test_seen_leaves_users_without_history_alone() -> None:
    lists = ranked({0: {0: 0.9, 1: 0.8}})
    assert seen.apply(lists, context(DRAMA, seen={0: []})).equals(lists)


def test_out_of_stock_drops_what_is_not_available() -> None:
    lists = ranked({0: {0: 0.9, 1: 0.8, 2: 0.7}})
    assert items_of(out_of_stock.apply(lists, context(DRAMA, is_available=[True, False] * 3))) == [0, 2]


@pytest.mark.parametrize(("share", "expected"), [(0.5, [0, 1, 4, 5]), (0.25, [0, 4, 5]), (0.01, [0, 4, 5]), (1.0, [0, 1, 2, 3, 4, 5])])
def test_category_cap_keeps_the_best_of_each_main_category(share: float, expected: list[int]) -> None:
    categories = [["Drama", "Comedy"]] * 4 + [["Comedy", "Drama"], []]
    lists = ranked({0: {item: 0.9 - item / 10 for item in range(6)}})
    after = category_cap.apply(lists, context(categories, k=4), category_cap.Config(max_share=share))
    assert items_of(after) == expected


def test_items_without_category_are_not_one_category() -> None:
    lists = ranked({0: {item: -float(item) for item in range(6)}})
    after = category_cap.apply(lists, context([[]] * 6, k=2), category_cap.Config(max_share=0.5))
    assert items_of(after) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("shift", [0.0, -100.0])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_new_item_rises_whatever_the_scale_of_scores(shift: float, scale: float) -> None:
    lists = ranked({0: {item: shift + scale * (1.0 - item / 10) for item in range(6)}})
    ages = [400.0, 400.0, 400.0, 400.0, 0.0, np.nan]
    after = new_item_boost.apply(lists, context(DRAMA, item_age_days=ages), new_item_boost.Config(days=30, strength=1.0))
    assert items_of(after) == [0, 1, 2, 4, 3, 5]  # 4 rises by one deviation, 0.17 of the scale


def test_the_boost_fades_with_age_and_is_whole_before_release() -> None:
    lists = ranked({0: {0: 0.0, 1: 0.0, 2: 0.0, 3: 2.0}})
    ages = [-10.0, 15.0, 30.0, 500.0, np.nan, np.nan]
    after = new_item_boost.apply(lists, context(DRAMA, item_age_days=ages), new_item_boost.Config(days=30, strength=1.0))
    deviation = np.std([0, 0, 0, 2])
    scores = after.set_index("item_idx").score
    assert scores[0] == pytest.approx(deviation)
    assert scores[1] == pytest.approx(deviation / 2)
    assert scores[2] == 0
    assert scores[3] == 2


def test_mmr_takes_turns_between_two_kinds_of_item() -> None:
    categories = [["Drama"]] * 3 + [["Comedy"]] * 3
    lists = ranked({0: {0: 1.0, 1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6, 5: 0.5}})
    after = mmr.apply(lists, context(categories, k=6), mmr.Config(relevance=0.5, depth=6))
    assert items_of(after)[:2] == [0, 3]
    assert sorted(after.score.round(6)) == sorted(lists.score.round(6))


def test_mmr_with_relevance_alone_changes_nothing() -> None:
    lists = ranked({0: {0: 1.0, 1: 0.9, 2: 0.8}})
    assert mmr.apply(lists, context(DRAMA), mmr.Config(relevance=1.0)).equals(lists)


def test_mmr_leaves_rows_below_its_depth_below() -> None:
    categories = [["Drama"]] * 5 + [["Comedy"]]
    lists = ranked({0: {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 1.0}})
    after = mmr.apply(lists, context(categories, k=3), mmr.Config(relevance=0.1, depth=4))
    assert set(items_of(after)[:3]) <= {0, 1, 2, 3}
    assert items_of(after)[4:] == [4, 5]


def test_mmr_agrees_with_the_loop_of_the_paper() -> None:
    lists, made = random_world(11)
    relevance = 0.6
    after = mmr.apply(lists, made, mmr.Config(relevance=relevance, depth=100))
    dense = made.vectors.toarray()
    for user in lists.user_idx.unique():
        own = lists[lists.user_idx == user]
        assert items_of(after, user)[: made.k] == _greedy(own, dense, made.k, relevance)


def _greedy(own: pd.DataFrame, vectors: np.ndarray, k: int, relevance: float) -> list[int]:
    items, scores = own.item_idx.to_numpy(), own.score.to_numpy()
    width = scores.max() - scores.min()
    unit = (scores - scores.min()) / (width if width > 0 else 1)
    chosen: list[int] = []
    while len(chosen) < min(k, len(items)):
        value = [
            -np.inf
            if n in chosen
            else relevance * unit[n] - (1 - relevance) * max([vectors[items[n]] @ vectors[items[c]] for c in chosen], default=0)
            for n in range(len(items))
        ]
        chosen.append(int(np.argmax(value)))
    return [int(items[n]) for n in chosen]
