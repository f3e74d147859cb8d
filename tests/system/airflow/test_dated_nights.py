"""Nights that Airflow dates: a backfill of three days, and a scheduled one with lists of seven."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.dated_nights import PUBLICATIONS, K, manifest_of
from tests.support.scheduler import QUICK_MODELS

if TYPE_CHECKING:
    from tests.support.scheduler import Stack
LAST_DAYS = ("1998-04-16", "1998-04-17", "1998-04-18")  # MovieLens ends on the 22nd


def test_a_backfill_judges_each_day_as_of_that_day_and_publishes_nothing(stack: Stack, k_is_an_option: None) -> None:
    before = stack.published(PUBLICATIONS)
    stack.backfill("nightly_retrain", LAST_DAYS[0], LAST_DAYS[-1], models=list(QUICK_MODELS))
    for day in LAST_DAYS:
        run_id = f"backfill__{day}T02:00:00+00:00"
        assert stack.wait_for("nightly_retrain", run_id) == "success", stack.failures("nightly_retrain", run_id)
        states = stack.states("nightly_retrain", run_id)
        assert (states.pop("publish_table"), set(states.values())) == ("skipped", {"success"})
        manifest = manifest_of(stack, run_id)
        assert (manifest["as_of"], manifest["publish"], manifest["backfill"]) == (f"{day} 02:00:00+00:00", False, True)
        assert _report(stack, run_id)["as_of"] == f"{day} 02:00:00 UTC"
        assert _list_lengths(stack, run_id) == {K}
    assert stack.published(PUBLICATIONS) == before


def test_a_scheduled_night_gives_lists_as_long_as_the_option_says(stack: Stack, k_is_an_option: None) -> None:
    ((before,),) = stack.published("SELECT version FROM publications WHERE state = 'live'")
    run_id = stack.scheduled_run("nightly_retrain", datetime(2026, 11, 28, 2, tzinfo=UTC), models=list(QUICK_MODELS))
    assert stack.wait_for("nightly_retrain", run_id) == "success", stack.failures("nightly_retrain", run_id)
    assert _list_lengths(stack, run_id) == {K}
    assert stack.published("SELECT DISTINCT json_array_length(item_ids) FROM recommendations") == [(K,)]
    stack.run("rollback_publication", version=before, reason="other tests look at the first night")


def _report(stack: Stack, run_id: str) -> dict[str, object]:
    from hybridrec.storage import store

    folder = stack.installation.settings.runs / stack.file_safe(run_id) / "report"
    return dict(json.loads((store.committed_folder(folder) / "report.json").read_text()))


def _list_lengths(stack: Stack, run_id: str) -> set[int]:
    from hybridrec.runs.run import Run

    rows = Run.open(stack.file_safe(run_id), stack.installation.settings).read("out_recommendations", columns=["item_ids"])
    return {len(items) for items in rows["item_ids"].to_pylist()}
