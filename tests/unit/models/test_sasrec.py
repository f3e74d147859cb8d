"""Parts of the sequence model whose answer can be checked by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.deep.fields import Layout
from hybridrec.models.sasrec import Config, Model
from hybridrec.types import TrainingData

if TYPE_CHECKING:
    from hybridrec.deep.networks.attention import SequenceNetwork

# user 0 chose items 0, 1, 2, 3 at ages 5, 1, 3, 4; user 1 item 3; user 2 nothing; user 3 items 2 and 0 at once
MATRIX = csr_array(np.array([[1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 1, 0]], dtype=np.float32))
AGES = np.array([5.0, 1.0, 3.0, 4.0, 2.0, 7.0, 7.0])


def test_sequences_end_with_the_newest_and_ties_do_not_follow_the_numbers() -> None:
    from hybridrec.deep.sequences import sequences

    found = sequences(MATRIX, AGES, seed=1)
    assert found.items[:5].tolist() == [0, 3, 2, 1, 3]
    assert found.starts.tolist() == [0, 4, 5, 5, 7]
    orders = {tuple(sequences(MATRIX, AGES, seed).items[5:].tolist()) for seed in range(20)}
    assert orders == {(0, 2), (2, 0)}


def test_a_new_order_stays_within_its_users() -> None:
    from hybridrec.deep.sequences import sequences

    found = sequences(MATRIX, AGES, seed=1)
    rng = np.random.default_rng(1)
    shuffled = {tuple(found.shuffled(np.array([0]), rng).tolist()) for _ in range(300)}
    assert len(shuffled) == 24
    assert {(tuple(sorted(items[:4])), items[4:]) for items in shuffled} == {((0, 1, 2, 3), tuple(found.items[4:].tolist()))}


def test_short_windows_share_a_row() -> None:
    from hybridrec.deep.sequences import pack

    found = pack(np.array([0, 4, 6, 8, 11]), np.array([4, 6, 7, 10, 12]), width=4)
    #                                    lengths 4, 2, 1, 2, 1
    assert found.positions.tolist() == [[0, 1, 2, 3], [4, 5, 8, 9], [6, 11, -1, -1]]
    assert found.sizes.tolist() == [4, 2, 1]
    assert found.positions.ravel()[found.last].tolist() == [3, 5, 6, 9, 11]


def test_all_but_the_first_item_is_an_answer_once() -> None:
    from hybridrec.deep.sequences import sequences, windows_to_learn

    rows = windows_to_learn(sequences(MATRIX, AGES, seed=1), width=2)
    assert sorted(rows.positions[rows.positions >= 0] + 1) == [1, 2, 3, 6]  # user 0 in two windows, user 3; user 1 has one item only


def test_users_with_one_item_each_are_no_sequences() -> None:
    one_each = csr_array(np.eye(4, dtype=np.float32))
    data = TrainingData(one_each, np.ones(4), pd.DataFrame(), np.ones(4, np.float32), pd.DataFrame(), seed=1, threads=1)
    with pytest.raises(PermanentError, match="no user has two items"):
        Model(Config()).fit(data)


def network(ordered: bool) -> SequenceNetwork:
    import torch

    from hybridrec.deep.networks.attention import SequenceNetwork

    torch.manual_seed(1)
    return SequenceNetwork(Layout((), 1, {}), width=4, dims=8, blocks=2, heads=2, dropout=0.5, ordered=ordered).eval()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_position_sees_what_is_before_it_in_its_own_sequence_only(ordered: bool) -> None:
    import torch

    items = torch.randn(2, 4, 8)
    items[1, :2] = items[0, :2]
    with torch.no_grad():
        whole = network(ordered)(items, torch.tensor([4, 4]))
        halves = network(ordered)(items, torch.tensor([2, 2]))
    torch.testing.assert_close(whole[0, :2], whole[1, :2])
    torch.testing.assert_close(halves[:, :2], whole[:, :2])
    assert not torch.allclose(halves[:, 2:], whole[:, 2:])


@pytest.mark.parametrize("ordered", [True, False])
def test_the_order_counts_where_there_is_one(ordered: bool) -> None:
    import torch

    items = torch.randn(1, 4, 8)
    with torch.no_grad():
        one, other = (network(ordered)(items[:, order], torch.tensor([4]))[0, -1] for order in ([0, 1, 2, 3], [1, 3, 0, 2]))
    assert torch.allclose(one, other, atol=1e-5) != ordered


def test_sampled_softmax_is_the_whole_one_on_average() -> None:
    import torch

    from hybridrec.deep.sequences import sampled_softmax

    said, vectors = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    whole = -np.log(np.e / (np.e + 1 + np.exp(-1)))
    every = sampled_softmax(said, vectors, torch.tensor([0]), torch.tensor([0, 1, 2]), np.zeros(3, np.float32))
    np.testing.assert_allclose(float(every), whole, rtol=1e-6)
    # item 1 was expected twice and came twice, item 2 half a time and came once; the answer is no rival of its own
    drawn = sampled_softmax(said, vectors, torch.tensor([0]), torch.tensor([1, 1, 2, 0]), np.log(np.array([2, 2, 0.5, 1], np.float32)))
    np.testing.assert_allclose(float(drawn), -np.log(np.e / (np.e + 1 + 2 * np.exp(-1))), rtol=1e-6)
