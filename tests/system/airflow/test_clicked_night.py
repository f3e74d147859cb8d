"""A night that a person starts with the form and does not publish."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Browser
from tests.support.scheduler import QUICK_MODELS

if TYPE_CHECKING:
    from tests.support.scheduler import Stack


@pytest.fixture(scope="module")
def clicked_night(stack: Stack, first_night: str, browser: Browser) -> str:
    """Run id of a night that a person starts with the form: two models, k = 7, not published."""
    run_id = browser.start_night(source="movielens_100k", models=QUICK_MODELS, k=7, publish=False)
    assert stack.wait_for("nightly_retrain", run_id) == "success", stack.failures("nightly_retrain", run_id)
    return run_id


def test_the_form_starts_the_night_that_it_shows(stack: Stack, clicked_night: str) -> None:
    manifest = json.loads((stack.installation.settings.runs / stack.file_safe(clicked_night) / "run.json").read_text())
    assert (manifest["config"]["k"], manifest["publish"]) == (7, False)
    assert set(QUICK_MODELS) <= set(manifest["models"])
    states = stack.states("nightly_retrain", clicked_night)
    assert states.pop("publish_table") == "skipped"
    assert set(states.values()) == {"success"}


def test_what_is_not_to_be_published_changes_nothing(stack: Stack, first_night: str, clicked_night: str) -> None:
    assert stack.published("select run_id from publications where state = 'live'") == [(stack.file_safe(first_night),)]


def test_the_list_of_runs_marks_what_is_live_now(stack: Stack, first_night: str, clicked_night: str, browser: Browser) -> None:
    browser.page.goto(f"{stack.installation.airflow_url}/hybridrec/")
    browser.picture("runs")
    live = browser.page.locator("tr", has_text=stack.file_safe(first_night)).inner_text()
    assert "live now" in live and "ndcg@10 over" in live
    assert "not published" in browser.page.locator("tr", has_text=stack.file_safe(clicked_night)).inner_text()
    assert f"of run {stack.file_safe(first_night)}" in browser.page.locator("#live").inner_text()
