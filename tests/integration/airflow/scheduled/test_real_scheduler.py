"""The real thing: Airflow's processes, real data, real jobs; started over REST, then by clicks in a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import GROUPS, Browser
from tests.support.dated_nights import manifest_of
from tests.support.planted_secrets import PLANTED, leaks
from tests.support.scheduler import QUICK_MODELS

if TYPE_CHECKING:
    from tests.support.scheduler import Stack


def test_a_night_started_over_rest_publishes_for_everybody(stack: Stack, first_night: str) -> None:
    states = stack.states("nightly_retrain", first_night)
    assert set(states.values()) == {"success"}
    assert {label for label in states if label.startswith("train_model[als")} == {
        f"train_model[als {split}]" for split in ("ranker", "holdout", "full")
    }
    assert stack.published("select count(*), count(distinct user_id) from recommendations") == [(943, 943)]
    (run_id,) = stack.published("select run_id from publications where state = 'live'")[0]
    assert run_id == stack.file_safe(first_night)


def test_no_spark_server_outlives_its_night(stack: Stack, first_night: str) -> None:
    from hybridrec.execution.spark import running_server

    assert running_server(stack.installation.settings, stack.file_safe(first_night)) is None


@pytest.mark.parametrize(
    ("form", "said"),
    [({"k": -1}, "-1 is less than the minimum"), ({"models": ["no_such_model"]}, "no_such_model"), ({"as_of": "yesterday"}, "yesterday")],
    ids=str,
)
def test_rest_refuses_a_wrong_value(stack: Stack, form: dict[str, object], said: str) -> None:
    from hybridrec_local.rest import Refused

    with pytest.raises(Refused, match=said):
        stack.api.trigger("nightly_retrain", form)


def test_the_first_task_refuses_a_time_before_the_data(stack: Stack, first_night: str) -> None:
    live = stack.published("select version, content_hash from publications where state = 'live'")
    run_id = stack.api.trigger("nightly_retrain", {"source": "movielens_100k", "as_of": "1990-01-01"})
    assert stack.wait_for("nightly_retrain", run_id) == "failed"
    task = next(task for task in stack.api.tasks("nightly_retrain", run_id) if task.task_id == "open_run")
    assert (task.state, task.try_number) == ("failed", 1), "PermanentError must not be retried"
    assert "1990-01-01" in (text := "\n".join(stack.api.log("nightly_retrain", run_id, task))) and "PermanentError" in text
    assert stack.published("select version, content_hash from publications where state = 'live'") == live


def test_a_viewer_reads_and_starts_nothing(stack: Stack) -> None:
    from hybridrec_local.rest import AirflowApi, Refused

    viewer = AirflowApi(stack.installation.airflow_url, "viewer", stack.installation.password("viewer"))
    assert "nightly_retrain" in viewer.dags()
    with pytest.raises(Refused, match="403"):
        viewer.trigger("nightly_retrain", {})


def test_reports_need_a_login(stack: Stack, first_night: str) -> None:
    from hybridrec_local.rest import DIRECT

    answer = DIRECT.get(f"{stack.installation.airflow_url}/hybridrec/reports/{stack.file_safe(first_night)}")
    assert answer.status_code == 401


def test_no_secret_lies_anywhere_but_in_its_own_file(stack: Stack, first_night: str) -> None:
    keys = json.loads((stack.installation.home / "secrets.json").read_text())
    passwords = {user: stack.installation.password(user) for user in ("admin", "viewer")}
    own = {"airflow/secrets.json", "airflow/airflow.cfg", "airflow/passwords.json"}
    found = leaks(stack.installation.settings.home, PLANTED | keys | passwords)
    assert [leak for leak in found if leak.split(" in ")[1] not in own] == []
    assert {leak.split(" in ")[1] for leak in found} == own
    assert all((stack.installation.settings.home / name).stat().st_mode & 0o077 == 0 for name in own)


def test_the_form_starts_the_night_that_it_shows(stack: Stack, first_night: str, browser: Browser) -> None:
    """Up to what the night is opened with; tests/system/airflow lets such a night go on to its end."""
    run_id = browser.start_night(source="movielens_100k", models=QUICK_MODELS, k=7, publish=False)
    stack.wait_until(lambda: stack.states("nightly_retrain", run_id).get("open_run") == "success", "open_run does not succeed")
    stack.api.fail("nightly_retrain", run_id)
    manifest = manifest_of(stack, run_id)
    assert (manifest["config"]["k"], manifest["publish"]) == (7, False)
    assert set(QUICK_MODELS) <= set(manifest["models"])
    assert stack.wait_for("nightly_retrain", run_id) == "failed"


def test_the_list_of_runs_marks_what_is_live(stack: Stack, first_night: str, browser: Browser) -> None:
    browser.page.goto(f"{stack.installation.airflow_url}/hybridrec/")
    live = browser.page.locator("tr", has_text=stack.file_safe(first_night)).inner_text()
    assert "live now" in live and "ndcg@10 over" in live
    assert f"of run {stack.file_safe(first_night)}" in browser.page.locator("#live").inner_text()


def test_buttons_lead_to_report_data_docs_and_mlflow(first_night: str, browser: Browser) -> None:
    page = browser.page
    expected = {"Report": "/hybridrec/reports/", "Data Docs": "/hybridrec/docs/", "MLflow run": "/#/experiments/"}
    for name, address in expected.items():
        browser.open_night(first_night, "/tasks/write_report/details")
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(f"**{address}**")
        page.wait_for_timeout(4000)
        browser.picture(name.lower().replace(" ", "_"))
        assert page.locator("body").inner_text().strip()


def test_the_graph_is_green(stack: Stack, first_night: str, browser: Browser) -> None:
    tasks = {task.task_id for task in stack.api.tasks("nightly_retrain", first_night)}
    assert browser.show_graph(first_night) == len(tasks) + GROUPS  # last of the browser's tests: see there
