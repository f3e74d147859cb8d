"""The jobs of the DAGs `backtest` and `ablation_study`, run as their tasks run them, over the small world."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridrec.base.settings import Settings
from hybridrec.evaluation.backtest import origin_id
from hybridrec.opening.new_run import Request, open_run
from hybridrec.runs.run import Run
from hybridrec.storage import store
from jobs import ablate_sources, judge_origin, summarise_backtest
from tests.support import made_candidates, small_world

DONE = ("build_interactions", "build_features", "generate_candidates.ranker", "generate_candidates.holdout", "check_leaks")


@pytest.fixture
def origin(home: Path) -> Run:
    """Provide an origin with finished Spark jobs, which other tests cover. No fit made its candidates, so there are no alarms."""
    small_world.write_core_tables()
    for run_id in ("by_hand", origin_id("by_hand", 1)):
        run = open_run(Request(run_id, "files", models=("popularity",), k=10, publish=False, judge_only=True), Settings.from_env())
    small_world.write_tables(run)
    made_candidates.add_candidates(run)
    for name in DONE:
        job, _, part = name.partition(".")
        store.write_json(run.folder / "tasks" / f"{name}.json", {"job": job, "part": part, "state": "done", "started_at": 1.0})
    return run


def test_an_origin_is_judged_summarised_and_studied(origin: Run) -> None:
    judge_origin.main(judge_origin.Params("by_hand", origin=1))
    summarise_backtest.main(summarise_backtest.Params("by_hand"))
    backtest = Run.open("by_hand")
    assert {*made_candidates.RETRIEVERS, "stacking", "weighted"} <= set(backtest.read("out_backtest")["name"].to_pylist())
    assert "item_knn" in (backtest.artefact("report") / "report.html").read_text()

    ablate_sources.main(ablate_sources.Params(origin.run_id, sources=("popularity",)))
    study = origin.read("out_ablation").to_pandas().set_index("strategy")
    assert {"stacking", "weighted"} <= set(study.index)
    assert set(study.scope + " " + study.source) == {"study popularity"}
    assert (study.seconds > 0).all()  # from the records that the fits have left
