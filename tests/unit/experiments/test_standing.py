"""Start, freeze, analyse and decide: from the file to the log, with feedback made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.assignment.buckets import aa_arms, arms_of
from hybridrec.base.errors import PermanentError
from hybridrec.experiments import standing
from hybridrec.experiments.analysis import analyse, difference, harm, look_at, why_over
from hybridrec.experiments.definitions import definition_of
from hybridrec.experiments.feedback import Users
from hybridrec.experiments.newest import frozen_states
from hybridrec.experiments.standing import Act, frozen_definition
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.versions.experiment_states import ExperimentState
from jobs import analyse_experiments, decide_experiment
from tests.support import made_experiments
from tests.unit.experiments.test_definitions import GOOD

START = datetime(2026, 12, 1, 1, tzinfo=UTC)
ANN = Act("ann", "the idea of the week", START)
MANY = 40_000
THREE = made_experiments.FILE | {
    "variants": {"control": {"share": 0.25}} | {name: {"share": 0.25, "without_rules": ["mmr"]} for name in ("a", "b", "c")}
}


class Feedback(NamedTuple):
    """Made feedback: by variant the rate of clicks, the share of users who are kept, and of lists whose impression is reported."""

    rates: tuple[float, float] = (0.1, 0.1)
    kept: tuple[float, float] = (1.0, 1.0)
    reported: tuple[float, float] = (1.0, 1.0)
    days: float = 3.0


@pytest.fixture
def run(home: Path, small_run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    write(home, GOOD)
    monkeypatch.setattr(standing, "event_types", lambda source, settings: frozenset({"click", "purchase"}))
    return small_run


def write(home: Path, text: str, name: str = "mmr") -> None:
    (home / "experiments").mkdir(exist_ok=True)
    (home / "experiments" / f"{name}.toml").write_text(text)


def start(run: Run, phase: str = "running", name: str = "mmr", act: Act = ANN) -> ExperimentState:
    standing.start(name, phase, act, "small", run.settings)  # type: ignore[arg-type]
    return state_of(run, name)


def state_of(run: Run, name: str = "mmr") -> ExperimentState:
    [found] = [state for state in standing.keeper(run.settings).experiments() if state.experiment == name]
    return found


def give(run: Run, state: ExperimentState, made: Feedback) -> None:
    """Write model_feedback as the contract has it: a list of ten for each user, at some time since the start."""
    generator = np.random.default_rng(5)
    user_ids = [f"user-{number}" for number in range(MANY)]
    running = standing.as_running(state)
    arms = arms_of(running, user_ids)
    assert set(arms) == {-1, 0, 1}
    keep = (arms >= 0) & (generator.random(MANY) < np.array(made.kept)[arms])
    plain = aa_arms(user_ids) >= 0
    rows = np.flatnonzero(keep | plain)
    rates = np.where(arms[rows] >= 0, np.array(made.rates)[arms[rows]], 0.1)
    at = [state.since + timedelta(days=float(day)) for day in np.append(generator.uniform(0, made.days, len(rows) - 1), made.days)]
    clicked = generator.random((len(rows), 10)) < rates[:, None]
    reported = generator.random(len(rows)) < np.where(arms[rows] >= 0, np.array(made.reported)[arms[rows]], 1.0)
    names = [running.variants[arm].name if arm >= 0 else None for arm in arms[rows]]
    columns = {
        "recommendation_id": np.repeat([f"r{row}" for row in rows], 10),
        "position": np.tile(np.arange(1, 11), len(rows)),
        "user_id": np.repeat([user_ids[row] for row in rows], 10),
        "served_at": pa.array(np.repeat(np.array(at, dtype=object), 10), pa.timestamp("us", tz="UTC")),
        "experiment": pa.array(np.repeat(np.array([state.experiment if name else None for name in names], dtype=object), 10), pa.string()),
        "variant": pa.array(np.repeat(np.array(names, dtype=object), 10), pa.string()),
        "shown": np.ones(len(rows) * 10, dtype=bool),
        "shown_by": pa.array(np.repeat(np.array(["impression" if one else None for one in reported], dtype=object), 10), pa.string()),
        "clicked": clicked.ravel(),
        "reward": clicked.ravel() * 0.5,
    }
    write_feedback(run, pa.table(columns))


def write_feedback(run: Run, rows: pa.Table) -> None:
    folder = run.dataset("model_feedback")
    with store.attempted(folder) as attempt:
        pq.write_table(rows, attempt / "part-0.parquet")
        store.commit(folder, store.Manifest(store.files_below(folder, attempt), rows.num_rows, "made"))


def later(run: Run, days: float) -> Run:
    """Return the run as of some days after the start."""
    return Run(replace(run.manifest, as_of=START + timedelta(days=days)), run.settings)


def rows_of(run: Run, state: ExperimentState) -> dict[str, dict[str, object]]:
    rows = analyse(run, [state]).to_pylist()
    return {row["outcome"]: row for row in rows if row["experiment"] == state.experiment}


def test_an_experiment_is_started_frozen_and_analysed(run: Run) -> None:
    state = start(run)
    give(run, state, Feedback())
    [running] = standing.at_work(run.settings, START)
    assert (running.name, running.phase, [variant.share for variant in running.variants]) == ("mmr", "running", [0.5, 0.5])
    found = rows_of(run, state)
    assert {outcome: (row["role"], row["verdict"]) for outcome, row in found.items()} == {
        "clicks": ("decides", "open"),
        "reward": ("guardrail", "unclear"),
    }
    clicks = found["clicks"]
    assert (clicks["look"], clicks["fraction"]) == (3, pytest.approx(3 / 14))
    assert clicks["control"] == pytest.approx(1.0, abs=0.03)
    assert clicks["n_control"] + clicks["n_variant"] == pytest.approx(0.6 * MANY, rel=0.02)  # type: ignore[operator]


def test_an_uplift_is_found_before_the_horizon_and_decides(run: Run) -> None:
    state = start(run)
    give(run, state, Feedback(rates=(0.1, 0.13)))
    found = rows_of(run, state)
    assert found["clicks"]["verdict"] == "better" and found["reward"]["verdict"] == "kept"
    over = why_over(list(found.values()))
    assert "surely better" in over
    line = standing.decide("mmr", "all", "", ANN._replace(reason=""), over, run.settings)
    assert (line.state, line.reason) == ("decided", over) and state_of(run).winner == "no_mmr"
    [running] = standing.at_work(run.settings, START)
    assert running.phase == "decided" and (arms_of(running, ["a", "b"]) == 0).all()


def test_at_the_horizon_the_test_is_over_without_a_difference(run: Run) -> None:
    state = start(run)
    give(run, state, Feedback(days=14.0))
    assert rows_of(later(run, 20.9), state)["clicks"]["verdict"] == "open", "clicks on lists of the last day may still come"
    found = rows_of(later(run, 21.0), state)
    assert found["clicks"]["verdict"] == "over" and "the horizon is reached" in why_over(list(found.values()))


def test_feedback_after_the_horizon_decides_nothing(run: Run) -> None:
    """The planted fault: looked at further nights, A/A tests cross the last bound in 9 % of cases after a week, in 18 % after eight."""
    state = start(run)
    give(run, state, Feedback(days=28.0))
    found, all_of_it = rows_of(later(run, 60.0), state)["clicks"], rows_of(later(run, 60.0), replace(state, state="canary"))["clicks"]
    assert (found["until"], found["fraction"]) == (state.since + timedelta(days=14), 1.0)
    assert 0.4 < int(str(found["n_variant"])) / int(str(all_of_it["n_variant"])) < 0.6


def test_a_few_users_decide_nothing(run: Run) -> None:
    many = Users(pa.nulls(5_099), np.repeat([0, 1], [5_000, 99]), {"clicked": np.repeat([1.0, 0.0], [5_000, 99])}, None, None, 0)
    assert difference(many, 1, "clicks", None, START) is None
    enough = Users(pa.nulls(5_100), np.repeat([0, 1], [5_000, 100]), {"clicked": np.repeat([1.0, 0.0], [5_000, 100])}, None, None, 0)
    assert difference(enough, 1, "clicks", None, START) is not None


def test_several_variants_share_the_error(run: Run) -> None:
    state = start(run)
    one, three = frozen_definition(state), definition_of(THREE, "three")
    bound = [look_at(state, definition, state.since, state.since + timedelta(days=14)).limit for definition in (one, three)]
    assert bound[1] > bound[0] + 0.3


def test_before_it_is_over_a_decision_needs_a_reason(run: Run) -> None:
    start(run)
    with pytest.raises(PermanentError, match="no bound is crossed and its horizon is not reached"):
        standing.decide("mmr", "all", "", ANN._replace(reason=" "), "", run.settings)
    assert state_of(run).state == "running"
    decide_experiment.main(decide_experiment.Params("mmr", "back", reason="the shop is closed", by="bob"))
    assert [line.reason for line in standing.keeper(run.settings).experiment_log("mmr")] == [ANN.reason, "the shop is closed"]


def test_an_arm_that_loses_users_breaks_the_experiment_and_decides_nothing(run: Run) -> None:
    state = start(run)
    give(run, state, Feedback(rates=(0.1, 0.2), kept=(1.0, 0.93)))
    found = rows_of(run, state)
    assert {row["verdict"] for row in found.values()} == {"broken"}
    assert why_over(list(found.values())) == "" and "not in the ratio of the shares" in str(found["clicks"]["sentence"])


def test_an_arm_that_loses_five_percent_of_its_events_breaks_the_experiment(run: Run) -> None:
    """All its users are there, so only the lists without an impression tell; a loss in both arms alike is no alarm."""
    state = start(run)
    give(run, state, Feedback(reported=(1.0, 0.95)))
    found = rows_of(run, state)
    assert found["clicks"]["verdict"] == "broken" and "events were lost" in str(found["clicks"]["sentence"])
    assert found["clicks"]["sample_ratio_p"] > 0.001  # type: ignore[operator]
    give(run, state, Feedback(reported=(0.95, 0.95)))
    assert rows_of(run, state)["clicks"]["verdict"] == "open"


def test_feedback_of_the_canary_does_not_count_when_all_shares_run(run: Run) -> None:
    """Until a version with the larger shares is live the arms are 50 to 5, which would ring the alarm of the ratio for ever."""
    canary = start(run, "canary")
    state = start(run, "running", act=ANN._replace(at=START + timedelta(hours=1)))
    give(run, replace(canary, since=state.since), Feedback(days=1.0))
    assert rows_of(run, state) == {}
    before = pq.read_table(run.files("model_feedback"))
    give(run, replace(state, since=state.since + timedelta(days=1)), Feedback(days=3.0))
    both = pa.concat_tables([before, pq.read_table(run.files("model_feedback"))])
    write_feedback(run, both)
    found = rows_of(run, state)["clicks"]
    assert found["verdict"] == "open" and found["since"] > state.since + timedelta(days=1)  # type: ignore[operator]
    assert found["sample_ratio_p"] > 0.001  # type: ignore[operator]


def test_a_canary_that_hurts_goes_back_by_itself(run: Run) -> None:
    state = start(run, "canary")
    give(run, state, Feedback(rates=(0.1, 0.05)))
    analyse_experiments.main(analyse_experiments.Params(run.run_id))
    assert standing.keeper(run.settings).went_back("mmr")
    line = standing.keeper(run.settings).experiment_log("mmr")[-1]
    assert line.who == "hybridrec" and "surely worse" in line.reason
    rows = run.read("out_experiments")
    analyse_experiments.main(analyse_experiments.Params(run.run_id))  # a rerun sends nothing back twice, and says the same
    assert run.read("out_experiments").equals(rows)
    with pytest.raises(PermanentError, match="start a new experiment under another name"):
        start(run, "running")


def test_a_canary_that_does_no_harm_stays_and_becomes_the_experiment(run: Run) -> None:
    state = start(run, "canary")
    give(run, state, Feedback(rates=(0.1, 0.1)))
    analyse_experiments.main(analyse_experiments.Params(run.run_id))
    assert not harm(run.read("out_experiments").to_pylist())
    later = ANN._replace(at=START + timedelta(days=2))
    after = start(run, "running", act=later)
    assert (after.state, after.since, after.started_at) == ("running", later.at, START)


def test_what_was_analysed_stays_with_the_run(run: Run) -> None:
    state = start(run, "canary")
    target = standing.keeper(run.settings)
    assert frozen_states(run, target) == [state]
    standing.send_back(state, "by hand", START, target)
    assert frozen_states(run, target) == [state]


def test_the_permanent_aa_is_silent_and_finds_a_loss(run: Run) -> None:
    state = start(run)
    give(run, state, Feedback())
    rows = [row for row in analyse(run, []).to_pylist() if row["experiment"] == "aa"]
    assert [(row["outcome"], row["verdict"]) for row in rows] == [("click_rate", "open"), ("clicks", "open")]


@pytest.mark.parametrize(
    ("name", "text", "at", "message"),
    [
        ("late", GOOD, START + timedelta(days=3), "start is 2026-12-01, which is in the past"),
        ("second", GOOD, START, "it overlaps with the experiment mmr"),
    ],
)
def test_what_cannot_be_started_changes_nothing(run: Run, home: Path, name: str, text: str, at: datetime, message: str) -> None:
    start(run)
    write(home, text, name)
    before = standing.keeper(run.settings).experiment_log()
    with pytest.raises(PermanentError, match=message):
        start(run, name=name, act=ANN._replace(at=at))
    assert standing.keeper(run.settings).experiment_log() == before


def test_an_outcome_without_events_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "event_types", lambda source, settings: frozenset({"rating"}))
    with pytest.raises(PermanentError, match=r"the outcome clicks has no events: the source .* has rating, and none of click"):
        start(run)


def test_a_file_that_changes_after_the_start_is_refused(run: Run, home: Path) -> None:
    start(run, "canary")
    write(home, GOOD.replace("horizon_days = 14", "horizon_days = 7"))
    with pytest.raises(PermanentError, match="its file has changed since it was started on 2026-12-01"):
        start(run, "running")


def test_while_everybody_gets_a_variant_nothing_else_starts(run: Run, home: Path) -> None:
    write(home, GOOD.replace("horizon_days", "part = [0.0, 0.5]\nhorizon_days"))
    start(run)
    standing.decide("mmr", "all", "no_mmr", ANN, "", run.settings)
    write(home, GOOD.replace("horizon_days", "part = [0.5, 1.0]\nhorizon_days"), "second")
    with pytest.raises(PermanentError, match="everybody gets the variant no_mmr of mmr"):
        start(run, name="second")


def test_looks_are_nights_and_the_horizon_spends_the_rest(run: Run) -> None:
    state = start(run)
    definition = standing.frozen_definition(state)
    looks = [look_at(state, definition, state.since, state.since + timedelta(days=days)) for days in (0.4, 1.0, 2.5, 14.0, 20.0)]
    assert [look.number for look in looks] == [1, 1, 3, 14, 20]
    assert [look.is_over for look in looks] == [False, False, False, True, True]
    assert looks[3].limit == pytest.approx(2.1026, abs=0.001)
    assert looks[0].limit > looks[1].limit > looks[2].limit > looks[3].limit


def test_without_a_folder_of_experiments_the_target_is_not_asked(small_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "keeper", lambda settings: pytest.fail("it was asked"))
    assert standing.at_work(small_run.settings, START) == ()
