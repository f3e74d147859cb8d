"""Judge every model and strategy on held-out time, with intervals, and decide which list each segment gets.

With --no-ablate without leaving out a model at a time, for a run that only has to be judged.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.balancing.strength import write_night_boost
from hybridrec.evaluation.evaluate import evaluate, load_strategies
from hybridrec.evaluation.leaks import require_past
from hybridrec.execution import job, task_records
from hybridrec.policy.policy import DECISION, write_choices
from hybridrec.runs.run import Run
from hybridrec.side_tables.judging import judge_tables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    run_id: str
    ablate: bool = True


def main(params: Params) -> None:
    run = Run.open(params.run_id)
    with task_records.alarm_time():
        require_past(run, "holdout")
    evaluation = evaluate(run, run.settings.threads, params.ablate)
    run.write("out_metrics", evaluation.metrics)
    run.write("out_comparisons", evaluation.comparisons)
    run.write("out_ablation", evaluation.ablation)
    run.write("out_table_comparisons", judge_tables(run))
    with run.staged("decision") as folder:
        write_choices(folder / DECISION, evaluation.choices, evaluation.figures)
    write_night_boost(run, evaluation.choices, load_strategies(run) if run.config.objective.name else {})
    for segment, choice in evaluation.choices.items():
        log.info("%s histories get %s: %s", segment, choice.name, choice.reason)


if __name__ == "__main__":
    job.start(main, Params)
