"""The grid shows a run correctly: dated runs see their date, backfills publish nothing, a run that is marked as failed is red."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from scheduler import Stack

pytestmark = pytest.mark.slow
QUICK_MODELS = ("item_knn", "popularity")
K = 7
LAST_DAYS = ("1998-04-16", "1998-04-17", "1998-04-18")  # MovieLens ends on the 22nd
PUBLICATIONS = "SELECT version, state, content_hash FROM publications ORDER BY number"


@pytest.fixture(scope="module")
def k_is_an_option(stack: Stack, first_night: str) -> Iterator[None]:
    """Provide a hybridrec.toml with a list length, for runs whose form has none."""
    toml = stack.installation.settings.home / "hybridrec.toml"
    before = toml.read_text()
    toml.write_text(f"[night]\nk = {K}\n{before}")
    yield
    toml.write_text(before)


@pytest.mark.parametrize("n_days", [1, pytest.param(3, marks=pytest.mark.system)])
def test_a_backfill_judges_each_day_as_of_that_day_and_publishes_nothing(n_days: int, stack: Stack, k_is_an_option: None) -> None:
    before = stack.published(PUBLICATIONS)
    days = LAST_DAYS[:n_days] if n_days > 1 else LAST_DAYS[-1:]
    stack.backfill("nightly_retrain", days[0], days[-1], models=list(QUICK_MODELS))
    for day in days:
        run_id = f"backfill__{day}T02:00:00+00:00"
        assert stack.wait_for("nightly_retrain", run_id) == "success", stack.failures("nightly_retrain", run_id)
        states = stack.states("nightly_retrain", run_id)
        assert (states.pop("publish_table"), set(states.values())) == ("skipped", {"success"})
        manifest = _manifest(stack, run_id)
        assert (manifest["as_of"], manifest["publish"], manifest["backfill"]) == (f"{day} 02:00:00+00:00", False, True)
        assert _report(stack, run_id)["as_of"] == f"{day} 02:00:00 UTC"
        assert _list_lengths(stack, run_id) == {K}
    assert stack.published(PUBLICATIONS) == before


@pytest.mark.system
def test_a_scheduled_night_gives_lists_as_long_as_the_option_says(stack: Stack, k_is_an_option: None) -> None:
    ((before,),) = stack.published("SELECT version FROM publications WHERE state = 'live'")
    run_id = stack.scheduled_run("nightly_retrain", datetime(2026, 11, 28, 2, tzinfo=UTC), models=list(QUICK_MODELS))
    assert stack.wait_for("nightly_retrain", run_id) == "success", stack.failures("nightly_retrain", run_id)
    assert _list_lengths(stack, run_id) == {K}
    assert stack.published("SELECT DISTINCT json_array_length(item_ids) FROM recommendations") == [(K,)]
    stack.run("rollback_publication", version=before, reason="other tests look at the first night")


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
    manifest = _manifest(stack, run_id)
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


def _manifest(stack: Stack, run_id: str) -> dict[str, object]:
    return dict(json.loads((stack.installation.settings.runs / stack.file_safe(run_id) / "run.json").read_text()))


def _report(stack: Stack, run_id: str) -> dict[str, object]:
    from hybridrec.storage import store

    folder = stack.installation.settings.runs / stack.file_safe(run_id) / "report"
    return dict(json.loads((store.committed_folder(folder) / "report.json").read_text()))


def _list_lengths(stack: Stack, run_id: str) -> set[int]:
    from hybridrec.runs.run import Run

    rows = Run.open(stack.file_safe(run_id), stack.installation.settings).read("out_recommendations", columns=["item_ids"])
    return {len(items) for items in rows["item_ids"].to_pylist()}
