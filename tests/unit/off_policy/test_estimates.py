"""Estimates of a run's candidate policies, and the answers that a run would have given."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.base.trying import Bandit
from hybridrec.exploration.arms import Arm
from hybridrec.exploration.draws import Draws, write_draws
from hybridrec.exploration.outcomes import outcomes_of
from hybridrec.off_policy.estimates import estimate_all, log_of, night_estimates
from hybridrec.off_policy.replay import replay
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.tables import table
from tests.support import feedback_rows, small_world
from tests.support.feedback_rows import NOON

CHANCES = {"light": {"a": 0.1, "b": 0.2, "c": 0.4}, "heavy": {"a": 0.4, "b": 0.2, "c": 0.1}}
LOGGED = {"light": {"a": 0.5, "b": 0.3, "c": 0.2}, "heavy": {"a": 0.2, "b": 0.3, "c": 0.5}}
TONIGHT = np.array([[1 / 3] * 3, [0.05, 0.05, 0.9], [0.9, 0.05, 0.05]])
ARMS = tuple(Arm(name) for name in "abc")


def draws() -> Draws:
    return Draws(ARMS, TONIGHT, np.zeros(0, np.int8), np.zeros(0, np.int8), np.zeros(0, np.float32))


@pytest.fixture(scope="module")
def estimates() -> pd.DataFrame:
    """Provide out_ope of 3,000 users of each segment on two days."""
    rows = feedback_rows.of_draws(CHANCES, LOGGED, 3_000, 2, seed=8, until=NOON)
    log = log_of(outcomes_of(rows.to_batches(), NOON), ("a", "b", "c"))
    found = pa.Table.from_pylist(estimate_all(log, draws()), table("out_ope").arrow_schema())
    return found.to_pandas().set_index(["policy", "segment", "outcome", "estimator"]).sort_index()


def rows_of(estimates: pd.DataFrame, policy: str, segment: str, outcome: str) -> Any:
    """Return the rows of a policy by estimator, a DataFrame with cells of known kinds."""
    return estimates.xs((policy, segment, outcome), level=("policy", "segment", "outcome"))


@pytest.mark.parametrize("segment", ["all", "light", "heavy"])
@pytest.mark.parametrize("policy", ["a", "b", "c", "this_run", "logged"])
@pytest.mark.parametrize("outcome", ["clicked", "reward"])
def test_each_policy_is_worth_what_it_is(policy: str, segment: str, outcome: str, estimates: pd.DataFrame) -> None:
    truths = {}
    for name, chances in CHANCES.items():
        wanted = {"this_run": dict(zip("abc", TONIGHT[SEGMENTS.index(name)], strict=True)), "logged": LOGGED[name]}.get(
            policy, {policy: 1.0}
        )
        truths[name] = sum(share * chances[arm] for arm, share in wanted.items())
    truth = np.mean(list(truths.values())) if segment == "all" else truths[segment]
    rows = rows_of(estimates, policy, segment, outcome)
    assert set(rows.index) == {"ips", "snips", "doubly_robust"}
    assert rows.refused.isna().all()
    for row in rows.itertuples():
        width = row.high - row.low
        assert row.low - 0.5 * width <= truth <= row.high + 0.5 * width
        assert 0 < width < 0.1


def test_what_was_served_is_estimated_as_it_was(estimates: pd.DataFrame) -> None:
    rows = rows_of(estimates, "logged", "all", "clicked")
    assert rows.value.max() - rows.value.min() < 1e-12
    assert rows.effective.iloc[0] == 12_000


def test_a_policy_of_which_nothing_is_known_is_refused() -> None:
    rows = feedback_rows.of_draws(CHANCES, {name: {"a": 0.98, "b": 0.01, "c": 0.01} for name in CHANCES}, 400, 1, seed=8, until=NOON)
    log = log_of(outcomes_of(rows.to_batches(), NOON), ("a", "b", "c"))
    found = pd.DataFrame(estimate_all(log, draws())).set_index(["policy", "segment", "outcome", "estimator"]).sort_index()
    refused, plain = (rows_of(found, arm, "all", "clicked").loc["ips"] for arm in ("c", "a"))
    assert "are needed; explore more" in refused.refused
    assert refused.value is None or np.isnan(refused.value)
    assert plain.value == pytest.approx(0.25, abs=0.05)


def test_versions_with_other_arms_are_left_out() -> None:
    """The planted fault: with an arm of 30 % dropped from the log, the others' rows are weighted too high, and .3 is estimated as .42."""
    chances = {name: {"a": 0.3, "b": 0.3, "c": 0.3, "former": 0.3} for name in CHANCES}
    shares = {name: {"a": 0.3, "b": 0.2, "c": 0.2, "former": 0.3} for name in CHANCES}
    before = feedback_rows.of_draws(chances, shares, 3_000, 2, seed=8, until=NOON - timedelta(days=9))
    now = feedback_rows.of_draws({name: dict.fromkeys("abc", 0.3) for name in CHANCES}, LOGGED, 3_000, 2, seed=9, until=NOON)
    log = log_of(outcomes_of(pa.concat_tables([before, now]).to_batches(), NOON), ("a", "b", "c"))
    assert len(log.arms) == now.num_rows
    found = pd.DataFrame(estimate_all(log, draws())).set_index(["policy", "segment", "outcome", "estimator"]).sort_index()
    for arm in "abc":
        row = rows_of(found, arm, "all", "clicked").loc["ips"]
        assert row.low - 0.01 < 0.3 < row.high + 0.01


def test_the_night_writes_them_down(small_run: Run) -> None:
    arms = {"a": "als=1", "b": "item_knn=1", "c": "popularity=1"}
    run = Run(replace(small_run.manifest, config=replace(small_run.config, bandit=Bandit(arms=arms))), small_run.settings)
    assert night_estimates(run).num_rows == 0
    feedback_rows.commit(run, feedback_rows.of_draws(CHANCES, LOGGED, 500, 2, seed=8, until=small_world.AS_OF))
    write_draws(run, ["als", "item_knn", "popularity"], [])
    found = night_estimates(run)
    run.write("out_ope", found)
    assert found.num_rows == 5 * 3 * 2 * 3  # policies, segments with draws and all, outcomes, estimators


def served(rows: list[tuple[str, str, list[str]]]) -> pa.Table:
    """Return answers: version, user, items."""
    schema = pa.schema(
        [*((name, pa.string()) for name in ("recommendation_id", "user_id", "surface", "version")), ("item_ids", pa.list_(pa.string()))]
    )
    return pa.Table.from_pylist(
        [
            {"recommendation_id": f"r{n}", "user_id": user, "surface": "recommendations", "version": version, "item_ids": items}
            for n, (version, user, items) in enumerate(rows)
        ],
        schema,
    )


LISTS = pa.table({"user_id": ["u1", "u2", "u3"], "item_ids": [["a", "b", "c"], ["d", "e", "f"], []]})
ANSWERS = [("v1", "u1", ["a", "b", "c"]), ("v1", "u2", ["e", "d", "x"]), ("v1", "u9", ["a"]), ("v2", "u1", ["c", "a"]), ("v2", "u3", ["a"])]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_a_replay_says_how_answers_differ(batch_rows: int) -> None:
    clicks = pd.DataFrame({"recommendation_id": ["r0", "r1", "r1", "r2", "r3"], "item_id": ["b", "x", "e", "a", "c"]})
    found = replay(served(ANSWERS).to_batches(batch_rows), LISTS, clicks).to_pylist()
    first, second = found
    assert (first["version"], first["n_answers"], first["n_known"]) == ("v1", 3, 2)
    assert (first["share_equal"], first["share_first"]) == (0.5, 0.5)
    assert first["overlap"] == pytest.approx((1 + 2 / 3) / 2)
    assert (first["clicked_served"], first["clicked_kept"]) == (1.5, 1.0)
    assert (second["n_answers"], second["n_known"], second["share_equal"], second["share_first"]) == (2, 2, 0.0, 0.0)
    assert second["overlap"] == pytest.approx(0.25), "c is the third of u1, but two were served"
    assert (second["clicked_served"], second["clicked_kept"]) == (0.5, 0.0)


def test_a_replay_of_its_own_lists_is_equal() -> None:
    own = [("v1", user, items) for user, items in zip(LISTS["user_id"].to_pylist(), LISTS["item_ids"].to_pylist(), strict=True)]
    [row] = replay(served(own[:2]).to_batches(), LISTS).to_pylist()
    assert (row["share_equal"], row["share_first"], row["overlap"], row["clicked_served"]) == (1, 1, 1, None)


def test_a_replay_of_nothing_is_empty() -> None:
    assert replay((), LISTS).num_rows == 0
