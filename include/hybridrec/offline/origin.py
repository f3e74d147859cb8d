"""An origin of a backtest: a run of its own that ends with its judgement, made by the night's jobs, one process each.

Rolling-origin evaluation: Tashman, "Out-of-sample tests of forecasting accuracy: an analysis and review", International
Journal of Forecasting 2000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hybridrec.base.errors import PermanentError
from hybridrec.evaluation.backtest import origin_id
from hybridrec.execution import task_records
from hybridrec.offline.steps import Steps
from hybridrec.opening.new_run import Request, open_run
from hybridrec.runs.run import Run

Flags = Sequence[str]


def judge_origin(backtest: Run, number: int, step_days: int) -> Run:
    """Return the judged run of an origin; 1 is the backtest's own as_of, each further one is step_days earlier.

    A job that is done is not run again, so another attempt goes on where this one stopped. PermanentError without times, or if an ingest
    has replaced the tables that the backtest was opened on.
    """
    run = _opened(backtest, number, step_days)
    splits = [("--split", split) for split in run.splits]
    fits = [("--model", model, *split) for model in run.manifest.models for split in splits]
    _run(run, "build_interactions", [()])
    _run(run, "build_features", [()])
    _run(run, "train_model", fits, optional=True)
    _run(run, "generate_candidates", splits)
    _run(run, "check_leaks", [()])
    _run(run, "train_ranker", [()])
    _run(run, "evaluate", [("--no-ablate",)])
    return run


def _opened(backtest: Run, number: int, step_days: int) -> Run:
    manifest = backtest.manifest
    if manifest.config.split != "time":
        raise PermanentError(f"[night]: split is {manifest.config.split}; a backtest goes back in time, so it needs split time")
    as_of = manifest.as_of - (number - 1) * timedelta(days=step_days)
    asked = Request(origin_id(backtest.run_id, number), manifest.source, as_of.isoformat(), manifest.models, manifest.config.k)
    run = open_run(replace(asked, publish=False, judge_only=True), backtest.settings)
    if run.manifest.inputs != manifest.inputs:
        raise PermanentError(
            f"core tables of {manifest.source}: an ingest has replaced what {backtest.run_id} was opened on; start a new backtest"
        )
    return run


def _run(run: Run, name: str, all_flags: Sequence[Flags], optional: bool = False) -> None:
    """Run a job with each of these flags, one process at a time, apart from those that are done."""
    done = {record.part for record in task_records.read_records(run.folder) if record.job == name and record.state == "done"}
    left = [(name, "--run-id", run.run_id, *flags) for flags in all_flags if ".".join(flags[1::2]) not in done]
    Steps(run.folder / "logs", {}, at_once=1).run(name, left, optional)
