"""Parts of the sequence model whose answer can be checked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.errors import BadData
from hybridrec.models import TrainingData
from hybridrec.models.sasrec import Config, Model

# user 0 chose items 0, 1, 2, 3 at ages 5, 1, 3, 4; user 1 item 3; user 2 nothing; user 3 items 2 and 0 at once
MATRIX = csr_array(np.array([[1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 1, 0]], dtype=np.float32))
AGES = np.array([5.0, 1.0, 3.0, 4.0, 2.0, 7.0, 7.0])
CODES = np.array([1, 2, 3, 0], dtype=np.int32)  # item 3 has no embedding of its own


def test_sequences_end_with_the_newest_and_ties_do_not_follow_the_numbers() -> None:
    from hybridrec.deep.sequences import sequences

    found = sequences(MATRIX, AGES, CODES, seed=1)
    assert found.codes[:5].tolist() == [1, 0, 3, 2, 0]
    assert found.starts.tolist() == [0, 4, 5, 5, 7]
    orders = {tuple(sequences(MATRIX, AGES, CODES, seed).codes[5:].tolist()) for seed in range(20)}
    assert orders == {(1, 3), (3, 1)}


def test_a_new_order_stays_within_its_users() -> None:
    from hybridrec.deep.sequences import sequences

    found = sequences(MATRIX, AGES, CODES, seed=1)
    rng = np.random.default_rng(1)
    shuffled = {tuple(found.shuffled(np.array([0]), rng).tolist()) for _ in range(300)}
    assert len(shuffled) == 24
    assert {(tuple(sorted(codes[:4])), codes[4:]) for codes in shuffled} == {((0, 1, 2, 3), tuple(found.codes[4:].tolist()))}


def test_short_windows_share_a_row() -> None:
    from hybridrec.deep.sequences import pack

    found = pack(np.array([0, 4, 6, 8, 11]), np.array([4, 6, 7, 10, 12]), width=4)
    #                                    lengths 4, 2, 1, 2, 1
    assert found.places.tolist() == [[0, 1, 2, 3], [4, 5, 8, 9], [6, 11, -1, -1]]
    assert found.sizes.tolist() == [4, 2, 1]
    assert found.places.ravel()[found.last].tolist() == [3, 5, 6, 9, 11]


def test_all_but_the_first_item_is_an_answer_once() -> None:
    from hybridrec.deep.sequences import sequences, windows_to_learn

    rows = windows_to_learn(sequences(MATRIX, AGES, CODES, seed=1), width=2)
    assert sorted(rows.places[rows.places >= 0] + 1) == [1, 2, 3, 6]  # user 0 in two windows, user 3; user 1 has one item only


def test_users_with_one_item_each_are_no_sequences() -> None:
    one_each = csr_array(np.eye(4, dtype=np.float32))
    data = TrainingData(one_each, np.ones(4), pd.DataFrame(), np.ones(4, np.float32), pd.DataFrame(), seed=1, threads=1)
    with pytest.raises(BadData, match="no user has two items"):
        Model(Config()).fit(data)


def test_a_place_sees_what_is_before_it_in_its_own_sequence_only() -> None:
    import torch

    from hybridrec.deep.networks.attention import SequenceNetwork

    for ordered in (True, False):
        torch.manual_seed(1)
        network = SequenceNetwork(9, width=4, dims=8, blocks=2, heads=2, dropout=0.5, ordered=ordered).eval()
        with torch.no_grad():
            alone = network(torch.tensor([[1, 2, 0, 0]]), torch.tensor([4]))
            beside = network(torch.tensor([[1, 2, 5, 6]]), torch.tensor([2]))
            longer = network(torch.tensor([[1, 2, 7, 8]]), torch.tensor([4]))
        torch.testing.assert_close(beside[:, :2], alone[:, :2])
        torch.testing.assert_close(longer[:, :2], alone[:, :2])
        assert not torch.allclose(longer[:, 2:], beside[:, 2:])


def test_without_order_the_last_answer_is_that_of_any_order() -> None:
    import torch

    from hybridrec.deep.networks.attention import SequenceNetwork

    network = SequenceNetwork(9, width=4, dims=8, blocks=2, heads=1, dropout=0.5, ordered=False).eval()
    with torch.no_grad():
        said = network(torch.tensor([[1, 2, 3, 4], [4, 2, 1, 3]]), torch.tensor([4, 4]))
    torch.testing.assert_close(said[0, -1], said[1, -1])
    assert not torch.allclose(said[0, 0], said[1, 0])
