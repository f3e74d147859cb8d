"""Draws of arms: repeatable, by known probabilities, from outcomes that are old enough."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridrec.assignment.buckets import in_layer
from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.base.trying import Bandit
from hybridrec.exploration import draws as draws_module
from hybridrec.exploration.arms import Arm, arms_of, playable
from hybridrec.exploration.chance import uniforms
from hybridrec.exploration.draws import NO_ARM, drawn, load_draws, write_draws
from hybridrec.exploration.outcomes import night_outcomes, outcomes_of
from hybridrec.exploration.posterior import Posterior, require_updated, updated
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import SEGMENTS
from tests.support import feedback_rows, small_world
from tests.support.feedback_rows import NOON, feedback

ARMS = {"content": "content=1", "people": "item_knn=2,popularity=0.5", "stack": "weighted"}
HAS = (["content", "item_knn", "popularity"], ["weighted"])
HOUR = timedelta(hours=1)
USER_IDS = [f"u{user:02d}" for user in range(small_world.N_USERS)]


def run_with(run: Run, **changes: object) -> Run:
    """Return the run with a bandit."""
    bandit = Bandit(arms=ARMS, **changes)  # type: ignore[arg-type]
    return Run(replace(run.manifest, config=replace(run.config, bandit=bandit)), run.settings)


def later(run: Run, run_id: str) -> Run:
    """Return another run with the same tables, a day later."""
    other = Run(replace(run.manifest, run_id=run_id, as_of=run.manifest.as_of + 24 * HOUR), run.settings)
    shutil.copytree(run.folder, other.folder)
    return other


def test_chances_are_even_and_independent_of_another_salt() -> None:
    names = [f"user {n}" for n in range(20_000)]
    here, there = uniforms(names, "a", "run 1"), uniforms(names, "a", "run 2")
    assert_array_equal(here, uniforms(iter(names), "a", "run 1"))
    for chances in (here, there):
        assert chances.min() >= 0 and chances.max() < 1
        assert_allclose(np.histogram(chances, 20, (0, 1))[0] / 1_000, 1, atol=0.15)
    assert abs(np.corrcoef(here, there)[0, 1]) < 0.03
    assert not (uniforms(names, "a", "b") == uniforms(names, "ab")).any()


def test_arms_are_drawn_as_often_as_they_say() -> None:
    distribution = np.array([[0.05, 0.15, 0.80], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4]])
    segments = np.repeat([0, 1, 2], 20_000)
    of_user, probabilities = drawn(uniforms(map(str, range(60_000)), "s"), segments, distribution)
    for segment in range(3):
        own = of_user[segments == segment]
        assert_allclose(np.bincount(own, minlength=3) / 20_000, distribution[segment], atol=0.012)
    assert_allclose(probabilities, distribution[segments, of_user])


def test_a_run_draws_once_and_another_one_anew(small_run: Run) -> None:
    run = run_with(small_run)
    write_draws(run, *HAS)
    first = load_draws(run)
    assert first is not None
    write_draws(run, *HAS)
    again = load_draws(run)
    assert again is not None
    assert_array_equal(first.of_user, again.of_user)
    assert {arm.name for arm in first.arms} == set(ARMS)
    inside = in_layer("bandit", USER_IDS)
    assert_array_equal(first.of_user != NO_ARM, inside)
    assert_allclose(first.probabilities, np.where(inside, 1 / 3, 0), atol=1e-6)
    assert (draws_module.draw(later(run, "other"), np.zeros(60, np.int64), first.distribution)[0] != first.of_user).any()


def test_the_share_is_of_the_same_users_every_night(small_run: Run) -> None:
    run = run_with(small_run, share=0.5)
    even = np.full((3, 3), 1 / 3)
    tonight = draws_module.draw(run, np.zeros(60, np.int64), even)
    tomorrow = draws_module.draw(later(run, "tomorrow"), np.zeros(60, np.int64), even)
    assert_array_equal(tonight[0] == NO_ARM, tomorrow[0] == NO_ARM)
    assert 0 < (tonight[0] != NO_ARM).sum() < in_layer("bandit", USER_IDS).sum()
    assert (tonight[1][tonight[0] == NO_ARM] == 0).all()
    taken = np.arange(60) >= 30
    excluded = draws_module.draw(run, np.zeros(60, np.int64), even, taken)
    assert (excluded[0][30:] == NO_ARM).all()
    assert_array_equal(excluded[0][:30], tonight[0][:30])


def test_a_night_without_arms_draws_nothing(small_run: Run) -> None:
    write_draws(small_run, *HAS)
    assert load_draws(small_run) is None


def test_what_was_fed_back_moves_the_probabilities(small_run: Run) -> None:
    run = run_with(small_run)
    chances = {"light": {"content": 0.05, "people": 0.05, "stack": 0.3}, "heavy": {"content": 0.3, "people": 0.05, "stack": 0.05}}
    even = {segment: dict.fromkeys(ARMS, 1 / 3) for segment in chances}
    feedback_rows.commit(run, feedback_rows.of_draws(chances, even, 300, 4, seed=3, until=small_world.AS_OF))
    write_draws(run, *HAS)
    made = load_draws(run)
    assert made is not None
    names = [arm.name for arm in made.arms]
    of_segment = dict(zip(SEGMENTS, made.distribution, strict=True))
    assert_allclose(of_segment["none"], 1 / 3, atol=1e-9)
    assert of_segment["light"][names.index("stack")] > 0.85
    assert of_segment["heavy"][names.index("content")] > 0.85
    assert made.distribution.min() >= 0.05


def test_a_night_without_the_models_of_an_arm_plays_the_others(small_run: Run) -> None:
    arms = arms_of(run_with(small_run).config)
    assert [arm.name for arm in playable(arms, ["item_knn"], ["weighted"])] == ["people", "stack"]
    assert playable(arms, [], []) == ()
    with pytest.raises(PermanentError, match="the models of none of its arms"):
        write_draws(run_with(small_run), [], [])


def test_an_answer_whose_clicks_may_still_come_does_not_count() -> None:
    """The planted fault: counted as without a click, the newest draws would halve the arm's share."""
    old = [(f"u{n}", "light:a", 0.5, [n % 2 == 0, False], NOON - 30 * HOUR) for n in range(10)]
    young = [(f"u{n}", "light:a", 0.5, [False, False], NOON - HOUR) for n in range(10)]
    rows = feedback(old + young).to_batches()
    counted = outcomes_of(rows, NOON - 24 * HOUR)
    assert counted.num_rows == 10 and sum(counted["clicked"].to_pylist()) == 5
    fault = outcomes_of(rows, NOON)
    assert sum(fault["clicked"].to_pylist()) / fault.num_rows == 0.25


def test_the_night_itself_leaves_them_out(small_run: Run) -> None:
    rows = [(f"u{n:02d}", "light:people", 0.3, [False], small_world.AS_OF - HOUR) for n in range(20)]
    rows += [(f"u{n:02d}", "light:people", 0.3, [True], small_world.AS_OF - 25 * HOUR) for n in range(20)]
    feedback_rows.commit(small_run, feedback(rows))
    counted = night_outcomes(run_with(small_run))
    assert counted["clicked"].to_pylist() == [True] * 20
    assert night_outcomes(run_with(small_run, window_hours=0.0)).num_rows == 40


def test_outcomes_are_a_row_a_user_arm_and_version_however_batches_are_cut() -> None:
    rows = feedback(
        [
            ("u1", "light:a", 0.5, [False, True, False], NOON),
            ("u1", "light:a", 0.5, [False, False, True], NOON + HOUR),
            ("u1", "light:b", 0.5, [False], NOON + 24 * HOUR),
            ("u2", None, None, [True], NOON),
            ("u3", "light:a", None, [True], NOON),
        ]
    )
    whole = outcomes_of(rows.to_batches(), NOON + 100 * HOUR)
    assert [whole[name].to_pylist() for name in ("user_id", "arm", "clicked", "reward")] == [
        ["u1", "u1"], ["light:a", "light:b"], [True, False], [2.0, 0.0],
    ]  # fmt: skip
    assert whole["served_at"].to_pylist()[0] == NOON + HOUR
    assert outcomes_of(rows.to_batches(max_chunksize=2), NOON + 100 * HOUR).equals(whole)
    shuffled = rows.take(pa.array(np.random.default_rng(1).permutation(rows.num_rows)))
    assert outcomes_of(shuffled.to_batches(max_chunksize=3), NOON + 100 * HOUR).equals(whole)


def test_a_place_of_exploration_does_not_lower_the_probability_of_the_arm() -> None:
    rows = feedback([("u1", "light:a", 0.5, [False, False], NOON)])
    lowered = rows.set_column(rows.column_names.index("probability"), "probability", pa.array([0.02, 0.01], pa.float32()))
    assert outcomes_of(lowered.to_batches(), NOON)["arm_probability"].to_pylist() == [0.5]


def test_two_versions_of_one_day_are_two_draws() -> None:
    rows = feedback([("u1", "light:a", 0.9, [True], NOON), ("u1", "light:a", 0.05, [False], NOON + HOUR)])
    rows = rows.set_column(rows.column_names.index("version"), "version", pa.array(["v1", "v2"]))
    found = outcomes_of(rows.to_batches(), NOON + 100 * HOUR)
    assert (found["arm_probability"].to_pylist(), found["clicked"].to_pylist()) == (pytest.approx([0.9, 0.05]), [True, False])


def test_draws_count_by_their_age() -> None:
    rows = feedback([("u1", "light:a", 0.5, [True], NOON - 240 * HOUR), ("u2", "light:a", 0.5, [False], NOON)])
    outcomes = outcomes_of(rows.to_batches(), NOON)
    alike = updated(outcomes, ("a", "b"), NOON, 0.0)
    assert alike.counts.trials[SEGMENTS.index("light")].tolist() == [2, 0]
    aged = updated(outcomes, ("a", "b"), NOON, 10.0)
    assert aged.counts.trials[SEGMENTS.index("light")].tolist() == [1.5, 0]
    assert aged.counts.successes[SEGMENTS.index("light")].tolist() == [0.5, 0]
    assert (aged.n_draws, aged.newest) == (2, NOON)


def test_draws_of_an_arm_that_is_not_played_any_more_are_left_out() -> None:
    rows = feedback([("u1", "light:gone", 0.5, [True], NOON), ("u2", "heavy:a", 0.5, [True], NOON)])
    found = updated(outcomes_of(rows.to_batches(), NOON), ("a",), NOON, 0.0)
    assert found.n_draws == 1
    assert found.counts.trials.sum() == 1


def test_counts_that_stand_still_are_an_alarm(small_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: every night begins with the posterior of the first."""
    run = run_with(small_run)
    feedback_rows.commit(run, feedback([("u1", "light:people", 0.3, [True], small_world.AS_OF - 30 * HOUR)]))
    nothing = outcomes_of((), NOON)
    stale: Posterior = updated(nothing, tuple(sorted(ARMS)), NOON, 0.0)
    monkeypatch.setattr(draws_module, "updated", lambda *_: stale)
    with pytest.raises(PermanentError, match="1 draws of its arms were fed back, 0 are counted: its probabilities would stand still"):
        write_draws(run, *HAS)
    require_updated(stale, nothing)


def test_the_wire_form_of_arms_comes_back(small_run: Run, tmp_path: Path) -> None:
    run = run_with(small_run)
    write_draws(run, *HAS)
    made = load_draws(run)
    assert made is not None
    assert made.arms == (
        Arm("content", (("content", 1.0),)), Arm("people", (("item_knn", 2.0), ("popularity", 0.5))), Arm("stack", (), "weighted"),
    )  # fmt: skip


def test_a_config_without_a_bandit_has_no_arms() -> None:
    assert arms_of(Config()) == ()
