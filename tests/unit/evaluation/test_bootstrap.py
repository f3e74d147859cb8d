"""Bootstrap intervals: seeded, paired, of the right width."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hybridrec.evaluation import bootstrap
from hybridrec.evaluation.bootstrap import interval, paired_difference, resampled_means


def test_width_is_that_of_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(400, 1))
    found = interval(values.mean(), resampled_means(values, 4000, seed=1)[:, 0])
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.07)


def test_pairing_removes_what_both_share() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 10, 200)
    found = paired_difference(shared + 0.5 + rng.normal(0, 0.1, 200), shared, 1000, seed=1)
    assert 0.4 < found.low < 0.5 < found.high < 0.6


def test_equal_lists_differ_by_nothing() -> None:
    values = np.random.default_rng(0).random(50)
    assert paired_difference(values, values, 200, seed=1) == (0.0, 0.0, 0.0)


def test_seeded_and_all_columns_draw_the_same_users() -> None:
    values = np.random.default_rng(0).random((30, 1))
    twice = resampled_means(np.hstack([values, values]), 100, seed=9)
    assert_array_equal(twice[:, 0], twice[:, 1])
    assert_array_equal(twice, resampled_means(np.hstack([values, values]), 100, seed=9))


def test_memory_steps_do_not_change_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((100, 2))
    monkeypatch.setattr(bootstrap, "CELLS", 250)
    stepped = resampled_means(values, 101, seed=9)
    assert stepped.shape == (101, 2)
    assert stepped.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=0.02)
