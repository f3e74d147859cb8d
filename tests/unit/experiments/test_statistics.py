"""Known answers of the statistics of experiments, and planted faults that their alarms must find."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.experiments.alarms import guard, sample_ratio, sample_ratios
from hybridrec.experiments.bounds import bounds, spent
from hybridrec.experiments.estimates import Covariate, Difference, difference_of_means, difference_of_ratios, with_cuped
from hybridrec.experiments.sequence import multiplier
from hybridrec.experiments.simulation import Plan, Way, share_decided, statistics, uplift_for

START = datetime(2026, 11, 1, tzinfo=UTC)
MOST_FALSE_ALARMS = 0.055


@pytest.fixture(scope="module")
def alike() -> np.ndarray:
    """Return z of 20,000 experiments in which nothing differs, at 14 looks."""
    return statistics(Plan(), 0.0, seed=20261122)


def test_bounds_of_five_looks_are_those_of_the_tables() -> None:
    assert bounds((0.2, 0.4, 0.6, 0.8, 1.0)) == pytest.approx([4.8769, 3.3570, 2.6803, 2.2898, 2.0310], abs=0.001)


def test_one_look_is_a_test_that_looks_once() -> None:
    assert bounds((1.0,)) == pytest.approx([1.959964], abs=1e-5)


def test_a_look_that_brings_nothing_new_decides_nothing_and_the_horizon_ends_the_spending() -> None:
    found = bounds((0.5, 0.5, 1.0, 1.3))
    assert found[1] == np.inf and found[3] == np.inf
    assert found[[0, 2]] == pytest.approx(bounds((0.5, 1.0)))
    assert spent(np.array([1.0])) == pytest.approx([0.025])


def test_many_looks_close_together_spend_as_much_as_few() -> None:
    """A simulation of independent steps crosses the bounds as often as alpha says."""
    times = np.unique(np.concatenate([np.linspace(0.3, 0.32, 5), np.linspace(0.4, 1.0, 20)]))
    steps = np.random.default_rng(7).normal(size=(40_000, len(times))) * np.sqrt(np.diff(times, prepend=0))
    crossed = (np.abs(steps.cumsum(axis=1) / np.sqrt(times)) >= bounds(tuple(times))).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=0.004)


@pytest.mark.parametrize("fractions", [(), (0.0, 0.5), (0.5, 0.4)])
def test_looks_that_go_back_in_time_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(PermanentError, match="expected rising numbers"):
        bounds(fractions)


@pytest.mark.parametrize("way", ["group_sequential", "confidence_sequence", "bonferroni"])
def test_ways_that_may_look_every_night_ring_rarely_for_nothing(alike: np.ndarray, way: Way) -> None:
    assert share_decided(alike, way) <= MOST_FALSE_ALARMS


def test_peeking_at_1_96_rings_far_too_often(alike: np.ndarray) -> None:
    assert share_decided(alike, "peeking") > 3 * MOST_FALSE_ALARMS


def test_looking_every_night_costs_hardly_any_power() -> None:
    z = statistics(Plan(), uplift_for(Plan()), seed=20261123)
    assert share_decided(z, "once") == pytest.approx(0.8, abs=0.012)
    assert share_decided(z, "group_sequential") >= 0.77
    assert share_decided(z, "bonferroni") < 0.6
    assert share_decided(z, "confidence_sequence") < 0.55


def test_users_who_stay_and_differ_make_no_more_false_alarms() -> None:
    """Outcomes of the same users add up night by night, so looks are correlated more than the share of the horizon says."""
    generator = np.random.default_rng(17)
    runs, users, looks = 4_000, 150, 14
    arms = []
    for _ in range(2):
        rate = generator.gamma(0.5, 0.6, (runs, users))
        sums = np.zeros((runs, users), dtype=np.float32)
        moments = []
        for _ in range(looks):
            sums += generator.poisson(rate)
            moments.append((sums.mean(axis=1), sums.var(axis=1, ddof=1) / users))
        arms.append(np.array(moments))  # (looks, 2, runs)
    z = (arms[1][:, 0] - arms[0][:, 0]) / np.sqrt(arms[1][:, 1] + arms[0][:, 1])
    assert share_decided(z.T, "group_sequential") <= MOST_FALSE_ALARMS
    assert share_decided(z.T, "confidence_sequence") <= MOST_FALSE_ALARMS


def test_a_confidence_sequence_holds_far_beyond_where_it_is_tightest() -> None:
    steps = np.random.default_rng(3).normal(size=(4_000, 1_000))
    amount = np.arange(1, 1_001, dtype=np.float64)
    crossed = (np.abs(steps.cumsum(axis=1) / np.sqrt(amount)) >= multiplier(amount, 100.0)).any(axis=1).mean()
    assert crossed <= 0.05
    assert multiplier(0.0, 100.0) == np.inf


def test_a_ratio_of_sums_has_the_spread_of_users_and_not_of_events() -> None:
    """Users differ, so a test on events would find far more than is there."""
    generator = np.random.default_rng(5)
    estimates, errors = [], []
    for _ in range(400):
        arms: list[tuple[np.ndarray, np.ndarray]] = []
        for _ in range(2):
            shown = generator.poisson(20, 500) + 1.0
            arms.append((generator.binomial(shown.astype(int), generator.beta(2, 18, 500)).astype(float), shown))
        found = difference_of_ratios(arms[0], arms[1])
        estimates.append(found.estimate)
        errors.append(found.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.1)
    events = np.sqrt(2 * 0.1 * 0.9 / (500 * 21))
    assert np.mean(errors) > 1.2 * events


def test_cuped_is_the_regression_on_arm_and_covariate() -> None:
    outcome, treated, before = _users(20_000, effect=0.3)
    found = with_cuped(outcome, treated, Covariate(before, START), START)
    design = np.column_stack([np.ones(len(outcome)), treated, before])
    coefficient = np.linalg.lstsq(design, outcome, rcond=None)[0][1]
    assert found.estimate == pytest.approx(coefficient, abs=1e-3)
    plain = difference_of_means(outcome[~treated], outcome[treated])
    assert found.standard_error < 0.6 * plain.standard_error
    assert abs(found.estimate - 0.3) < 3 * found.standard_error


def test_a_covariate_without_spread_changes_nothing() -> None:
    outcome, treated, _ = _users(1_000, effect=0.3)
    found = with_cuped(outcome, treated, Covariate(np.zeros(1_000), START), START)
    assert found == pytest.approx(difference_of_means(outcome[~treated], outcome[treated]))


def test_a_covariate_from_after_the_assignment_is_refused() -> None:
    """It would hide the effect: here it is the outcome itself."""
    outcome, treated, _ = _users(1_000, effect=0.3)
    with pytest.raises(PermanentError, match="users are assigned from 2026-11-01 00:00"):
        with_cuped(outcome, treated, Covariate(outcome, START + timedelta(seconds=1)), START)
    hidden = with_cuped(outcome, treated, Covariate(outcome, START), START)
    assert abs(hidden.estimate) < 1e-9


def test_the_sample_ratio_alarm_finds_an_arm_that_loses_events() -> None:
    """An arm that loses 5 % of its events loses users whose only event it was; the ratio of users must say so."""
    generator = np.random.default_rng(11)
    events = [generator.poisson(0.8, 60_000) for _ in range(2)]
    whole = np.array([np.count_nonzero(arm) for arm in events], dtype=np.float64)
    lost = np.array([np.count_nonzero(generator.binomial(arm, keep)) for arm, keep in zip(events, (1.0, 0.95), strict=True)], float)
    assert not sample_ratio(whole, np.ones(2)).alarm
    assert sample_ratio(lost, np.ones(2)).alarm
    both = np.array([np.count_nonzero(generator.binomial(arm, 0.95)) for arm in events], dtype=np.float64)
    assert not sample_ratio(both, np.ones(2)).alarm


def test_the_sample_ratio_follows_the_shares_that_were_asked_for() -> None:
    assert sample_ratio(np.array([50_000.0, 5_010.0]), np.array([0.5, 0.05])).p_value > 0.5
    assert sample_ratio(np.array([50_000.0, 5_010.0]), np.ones(2)).alarm
    assert sample_ratios(np.array([10.0, 10.0, 500.0, 0.0, 0.0]), np.ones(5), np.array([0, 2, 3])).tolist() == [1.0, 1.0, 1.0]


def test_known_sample_ratio_of_cookie_cats() -> None:
    found = sample_ratio(np.array([44_700.0, 45_489.0]), np.ones(2))
    assert found.p_value == pytest.approx(0.0086, abs=0.00005) and not found.alarm


@pytest.mark.parametrize(("estimate", "expected"), [(-0.05, "broken"), (-0.001, "kept"), (0.01, "kept"), (-0.012, "unclear")], ids=str)
def test_a_guardrail_is_broken_only_if_the_whole_interval_loses_too_much(estimate: float, expected: str) -> None:
    found = Difference(1.0, 1.0 + estimate, estimate, 0.005)
    assert guard(found, 1.96, max_loss=0.02) == expected


def _users(number: int, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return outcome, treated and what the users did before."""
    generator = np.random.default_rng(number)
    before = generator.gamma(2.0, 1.0, number)
    treated = generator.random(number) < 0.5
    return before * 1.5 + generator.normal(0, 1, number) + effect * treated, treated, before
