"""Gather the figures of a backtest's origins into out_backtest, and draw them as a page of their own."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.evaluation.backtest import judged_origins, origin_rows
from hybridrec.execution import job
from hybridrec.report.pages.backtest_page import backtest_facts, backtest_json, render_backtest
from hybridrec.runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    origins = judged_origins(run)
    run.write("out_backtest", origin_rows(origins, run.config.k))
    facts = backtest_facts(run)
    with run.staged("report") as folder:
        (folder / "report.html").write_text(render_backtest(facts))
        (folder / "report.json").write_text(backtest_json(facts))
    log.info("%d origins: %s", len(origins), run.artefact("report") / "report.html")


if __name__ == "__main__":
    job.start(main, Params)
