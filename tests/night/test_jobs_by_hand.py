"""The jobs of the DAGs `backtest` and `ablation_study`, run as their tasks run them, over the small world."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_world

from hybridrec import spark
from hybridrec.nights import Request, open_run
from hybridrec.run import Run
from hybridrec.settings import Settings
from jobs import ablate_sources, judge_origin, summarise_backtest

pytestmark = pytest.mark.slow


def test_an_origin_is_judged_summarised_and_studied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_world.write_core_tables()
    monkeypatch.setenv(spark.SESSION_VARIABLE, "by_hand")
    asked = Request("by_hand", "files", models=("content_attributes", "popularity"), k=10, publish=False, judge_only=True)
    backtest = open_run(asked, Settings.from_env())
    try:
        judge_origin.main(judge_origin.Params("by_hand", origin=2, step_days=5))
    finally:
        spark.stop_server(Settings.from_env(), "by_hand")
    summarise_backtest.main(summarise_backtest.Params("by_hand"))
    rows = backtest.read("out_backtest").to_pandas()
    assert {*asked.models, "stacking", "weighted"} <= set(rows.name)
    assert "content_attributes" in (backtest.artefact("report") / "report.html").read_text()

    night = Run.open("by_hand.origin-2")
    ablate_sources.main(ablate_sources.Params(night.run_id, sources=("content_attributes",)))
    study = night.read("out_ablation").to_pandas().set_index("strategy")
    assert {"stacking", "weighted"} <= set(study.index)
    assert set(study.scope + study.source) == {"studycontent_attributes"}
    assert (study.seconds > 0).all()  # from the records that the fits have left
