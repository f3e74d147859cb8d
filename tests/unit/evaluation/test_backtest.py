"""A backtest: its origins in order, what an attempt skips, the figures gathered and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.evaluation.backtest import judged_origins, origin_id
from hybridrec.offline.origin import judge_origin
from hybridrec.offline.steps import Steps
from hybridrec.opening.new_run import Request, open_run
from hybridrec.report.pages.backtest_page import backtest_facts, render_backtest
from hybridrec.runs.run import Run
from hybridrec.storage import store
from jobs import summarise_backtest
from tests.support import small_world

LEVEL = {
    ("strategy", "stacking"): 0.4,
    ("strategy", "weighted"): 0.3,
    ("source", "als"): 0.35,
    ("source", "popularity"): 0.1,
    ("scorer", "fm"): 0.2,
}


@pytest.fixture
def backtest(home: Path) -> Run:
    """Provide an opened backtest over the small world."""
    small_world.write_core_tables()
    asked = Request("b", "files", models=("als", "popularity"), publish=False, judge_only=True)
    return open_run(asked, Settings.from_env())


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Provide the jobs that would be run."""
    found: list[tuple[str, ...]] = []

    def run(steps: Steps, name: str, commands: Sequence[tuple[str, ...]], optional: bool = False) -> None:
        found.extend(commands)

    monkeypatch.setattr(Steps, "run", run)
    return found


def judged(backtest: Run, number: int, plus: float = 0.0) -> Run:
    """Return an origin with figures around LEVEL."""
    asked = Request(origin_id("b", number), "files", models=("als", "popularity"), publish=False, judge_only=True)
    as_of = backtest.manifest.as_of - timedelta(days=7 * (number - 1))
    run = open_run(replace(asked, as_of=as_of.isoformat()), backtest.settings)
    rows = [
        {
            "kind": kind,
            "name": name,
            "segment": segment,
            "metric": metric,
            "value": value + plus,
            "low": value,
            "high": value + 0.1,
            "n_users": 9,
        }
        for (kind, name), value in LEVEL.items()
        for segment in ("all", "new_items")
        for metric in (f"ndcg@{run.config.k}", "ndcg@7", "recall@100")
    ]
    run.write("out_metrics", pa.Table.from_pylist(rows))
    return run


def test_an_origin_is_a_night_up_to_its_judgement(backtest: Run, commands: list[tuple[str, ...]]) -> None:
    run = judge_origin(backtest, 3, step_days=7)
    assert run.run_id == "b.origin-3"
    assert run.manifest.as_of == backtest.manifest.as_of - timedelta(days=14)
    assert (set(run.manifest.splits), run.manifest.publish) == ({"ranker", "holdout"}, False)
    names = [command[0] for command in commands]
    assert names == [
        "build_interactions",
        "build_features",
        *["train_model"] * 4,
        *["generate_candidates"] * 2,
        "check_leaks",
        "train_ranker",
        "evaluate",
    ]
    assert commands[2] == ("train_model", "--run-id", "b.origin-3", "--model", "als", "--split", "ranker")


def test_another_attempt_goes_on_behind_what_is_done(backtest: Run, commands: list[tuple[str, ...]]) -> None:
    run = judge_origin(backtest, 1, step_days=7)
    commands.clear()
    for part, state in (("als.ranker", "done"), ("als.holdout", "failed")):
        record = {"job": "train_model", "part": part, "state": state, "started_at": 1.0}
        store.write_json(run.folder / "tasks" / f"train_model.{part}.json", record)
    judge_origin(backtest, 1, step_days=7)
    fits = [command[4::2] for command in commands if command[0] == "train_model"]
    assert fits == [("als", "holdout"), ("popularity", "ranker"), ("popularity", "holdout")]


def test_what_cannot_be_rolled_back_is_refused(backtest: Run, commands: list[tuple[str, ...]]) -> None:
    with pytest.raises(PermanentError, match="the first event is of"):
        judge_origin(backtest, 24, step_days=30)
    unknown = Run(replace(backtest.manifest, config=replace(backtest.config, split="random_per_user")), backtest.settings)
    with pytest.raises(PermanentError, match="split is random_per_user; a backtest goes back in time"):
        judge_origin(unknown, 1, step_days=7)
    changed = Run(replace(backtest.manifest, inputs={}), backtest.settings)
    with pytest.raises(PermanentError, match="an ingest has replaced what b was opened on"):
        judge_origin(changed, 1, step_days=7)
    assert commands == []


def test_origins_are_gathered_and_drawn_the_oldest_first(backtest: Run) -> None:
    with pytest.raises(PermanentError, match="no origin has been judged"):
        judged_origins(backtest)
    for number, plus in ((1, 0.02), (2, 0.04), (10, -0.02)):
        judged(backtest, number, plus)
    summarise_backtest.main(summarise_backtest.Params("b"))
    rows = backtest.read("out_backtest").to_pandas()
    assert rows.as_of.nunique() == 3
    assert set(rows.metric) == {"ndcg@20", "recall@100"}
    facts = backtest_facts(backtest)
    first = facts.segments[0].lists[0]
    assert (first.name, [point[0] for point in first.points if point]) == ("stacking", pytest.approx([0.38, 0.44, 0.42]))  # type: ignore[comparison-overlap]
    assert first.mean == pytest.approx(1.24 / 3)
    assert "stacking is ahead at 3 of 3" in facts.headline
    page = (backtest.artefact("report") / "report.html").read_text()
    assert page == render_backtest(facts)
    assert all(name in page for _, name in LEVEL)
    assert "New items alone" in page
