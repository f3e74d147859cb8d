"""The grid tells the truth about a run: dated runs see their date, backfills publish nothing, a run that is marked as failed is red."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.dated_nights import PUBLICATIONS, K, manifest_of
from tests.support.scheduler import QUICK_MODELS

if TYPE_CHECKING:
    from tests.support.scheduler import Stack


def test_a_scheduled_night_that_is_marked_as_failed_while_models_train_is_red(stack: Stack, k_is_an_option: None) -> None:
    before = stack.published(PUBLICATIONS)
    run_id = stack.scheduled_run("nightly_retrain", datetime(2026, 11, 29, 2, tzinfo=UTC), models=list(QUICK_MODELS))
    stack.wait_until(lambda: stack.is_running("nightly_retrain", run_id, "train_model"), "no model trains")
    stack.api.fail("nightly_retrain", run_id)
    assert stack.wait_for("nightly_retrain", run_id) == "failed"
    states = stack.states("nightly_retrain", run_id)
    ended = [states[task] for task in ("check_output", "publish_table", "write_report", "confirm_outcome", "stop_spark")]
    assert ended == ["skipped", "skipped", "success", "failed", "success"]
    assert "check_output is skipped" in stack.failures("nightly_retrain", run_id)
    assert stack.published(PUBLICATIONS) == before
    manifest = manifest_of(stack, run_id)
    assert (manifest["config"]["k"], manifest["publish"]) == (K, True), "[night] k reaches a scheduled run"


@pytest.mark.parametrize("dag_id", ["ingest", "nightly_retrain", "tune_models"])
def test_a_run_that_is_marked_as_failed_at_its_beginning_is_red(dag_id: str, stack: Stack) -> None:
    run_id = stack.api.trigger(dag_id, {"source": "movielens_100k"})
    stack.api.fail(dag_id, run_id)
    assert stack.wait_for(dag_id, run_id) == "failed"
    assert stack.states(dag_id, run_id)["confirm_outcome"] == "failed"
    stack.api.clear(dag_id, run_id, "start_spark")
    assert stack.api.state(dag_id, run_id) in ("queued", "running"), "a failed run can be cleared"
    stack.api.fail(dag_id, run_id)
    assert stack.wait_for(dag_id, run_id) == "failed"
