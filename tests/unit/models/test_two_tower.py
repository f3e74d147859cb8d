"""Parts of the torch models' training whose answer can be checked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from hybridrec.deep.fields import newest, without
from hybridrec.deep.held_out import hold_out
from hybridrec.types import TrainingData

# user 0 chose items 0, 1, 2 at ages 5, 1, 3; user 1 chose item 3; user 2 nothing
MATRIX = csr_array(np.array([[1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=np.float32))
AGES = np.array([5.0, 1.0, 3.0, 2.0])


def test_bags_hold_the_newest_items() -> None:
    np.testing.assert_array_equal(newest(MATRIX, AGES, 2).toarray(), [[0, 0.5, 0.5, 0], [0, 0, 0, 1], [0, 0, 0, 0]])


def test_a_target_is_not_part_of_its_own_input() -> None:
    bags = newest(MATRIX, AGES, 2)[np.array([0, 0, 1])]
    np.testing.assert_array_equal(without(bags, np.array([1, 0, 3])).toarray(), [[0, 0, 1, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0]])


def test_the_newest_choice_is_held_out() -> None:
    data = TrainingData(MATRIX, AGES, pd.DataFrame(), np.zeros(4, np.float32), pd.DataFrame(), seed=1, threads=1)
    cut = hold_out(data, n_users=10)
    assert (cut.held_out.users.tolist(), cut.held_out.items.tolist()) == ([0], [1])  # user 1 has too few items
    assert list(zip(cut.examples.users, cut.examples.items, strict=True)) == [(0, 0), (0, 2), (1, 3)]
    assert cut.matrix.nnz == 3 and cut.days.tolist() == [5, 3, 2]


def test_loss_is_corrected_for_sampling_and_spares_copies() -> None:
    import torch

    from hybridrec.deep.towers import in_batch_loss

    scores = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]])
    log_q = torch.log(torch.tensor([0.25, 0.5]))
    loss = in_batch_loss(scores, torch.arange(3), torch.tensor([0, 1, 1]), log_q)
    # logits: item 0 at x - ln 1/4, item 1 at x - ln 1/2; the copy of item 1 is no negative of rows 1 and 2
    row0 = -np.log(4 * np.e / (4 * np.e + 2 + 2))
    row1 = -np.log(2 * np.e / (4 + 2 * np.e))
    row2 = -np.log(2 / (4 + 2))
    np.testing.assert_allclose(float(loss), (row0 + row1 + row2) / 3, rtol=1e-6)
