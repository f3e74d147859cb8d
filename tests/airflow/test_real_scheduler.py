"""The real thing: Airflow's processes, real data, real jobs; started over REST, then by clicks in a browser."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from planted_secrets import PLANTED, leaks
from scheduler import OPTIONS

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize
    from scheduler import Stack

pytestmark = pytest.mark.slow
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOW: ViewportSize = {"width": 1600, "height": 1100}
QUICK_MODELS = ("als", "item_knn", "popularity")


def test_a_night_started_over_rest_publishes_for_everybody(stack: Stack, first_night: str) -> None:
    states = stack.states("nightly_retrain", first_night)
    assert set(states.values()) == {"success"}
    assert {label for label in states if label.startswith("train_model[als")} == {
        f"train_model[als {fold}]" for fold in ("rank", "eval", "final")
    }
    assert stack.published("select count(*), count(distinct user_id) from recommendations") == [(943, 943)]
    (run_id,) = stack.published("select run_id from publications where state = 'live'")[0]
    assert run_id == stack.file_safe(first_night)


def test_no_spark_server_outlives_its_night(stack: Stack, first_night: str) -> None:
    from hybridrec.spark import running_server

    assert running_server(stack.installation.settings, stack.file_safe(first_night)) is None


@pytest.mark.parametrize(
    ("form", "said"),
    [({"k": -1}, "-1 is less than the minimum"), ({"models": ["no_such_model"]}, "no_such_model"), ({"as_of": "yesterday"}, "yesterday")],
    ids=str,
)
def test_rest_refuses_a_wrong_value(stack: Stack, form: dict[str, object], said: str) -> None:
    from hybridrec_airflow.rest import Refused

    with pytest.raises(Refused, match=said):
        stack.api.trigger("nightly_retrain", form)


def test_the_first_task_refuses_a_time_before_the_data(stack: Stack, first_night: str) -> None:
    live = stack.published("select version, content_hash from publications where state = 'live'")
    run_id = stack.api.trigger("nightly_retrain", {"source": "movielens_100k", "as_of": "1990-01-01"})
    assert stack.wait_for("nightly_retrain", run_id) == "failed"
    task = next(task for task in stack.api.tasks("nightly_retrain", run_id) if task.task_id == "open_run")
    assert (task.state, task.try_number) == ("failed", 1), "BadData must not be retried"
    assert "1990-01-01" in (text := "\n".join(stack.api.log("nightly_retrain", run_id, task))) and "BadData" in text
    assert stack.published("select version, content_hash from publications where state = 'live'") == live


def test_a_table_that_fails_its_checks_is_reported_and_changes_nothing(stack: Stack, first_night: str) -> None:
    live = stack.published("select version, content_hash from publications where state = 'live'")
    options = stack.installation.settings.home / "hybridrec.toml"
    options.write_text("[night]\nmax_item_share = 0.001\n" + OPTIONS)
    try:
        run_id = stack.api.trigger("nightly_retrain", {"source": "movielens_100k", "k": 5, "models": ["popularity"]})
        assert stack.wait_for("nightly_retrain", run_id) == "failed"
    finally:
        options.write_text(OPTIONS)
    states = stack.states("nightly_retrain", run_id)
    assert {states[task] for task in ("check_output", "publish_table", "write_report")} == {"failed", "upstream_failed", "success"}
    report = stack.installation.settings.runs / stack.file_safe(run_id) / "report"
    (page,) = report.glob("attempt-*/report.html")
    assert "max_item_share" in page.read_text() or "concentration" in page.read_text()
    assert stack.published("select version, content_hash from publications where state = 'live'") == live


def test_a_viewer_reads_and_starts_nothing(stack: Stack) -> None:
    from hybridrec_airflow.rest import AirflowApi, Refused

    viewer = AirflowApi(stack.installation.airflow_url, "viewer", stack.installation.password("viewer"))
    assert "nightly_retrain" in viewer.dags()
    with pytest.raises(Refused, match="403"):
        viewer.trigger("nightly_retrain", {})


def test_reports_need_a_login(stack: Stack, first_night: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{stack.installation.airflow_url}/hybridrec/reports/{stack.file_safe(first_night)}", timeout=30)


def test_no_secret_lies_anywhere_but_in_its_own_file(stack: Stack, first_night: str) -> None:
    keys = json.loads((stack.installation.home / "secrets.json").read_text())
    passwords = {user: stack.installation.password(user) for user in ("admin", "viewer")}
    own = {"airflow/secrets.json", "airflow/airflow.cfg", "airflow/passwords.json"}
    found = leaks(stack.installation.settings.home, PLANTED | keys | passwords)
    assert [leak for leak in found if leak.split(" in ")[1] not in own] == []
    assert {leak.split(" in ")[1] for leak in found} == own
    assert all((stack.installation.settings.home / name).stat().st_mode & 0o077 == 0 for name in own)


@pytest.fixture(scope="module")
def page(stack: Stack) -> Iterator[Page]:
    """A browser that is logged in as admin by its login form."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium found; `make test-slow` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=BROWSER_FLAGS)
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(60_000)
        page.goto(f"{stack.installation.airflow_url}/auth/login?next=%2Fdags%2Fnightly_retrain")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", stack.installation.password("admin"))
        page.keyboard.press("Enter")
        page.wait_for_url("**/dags/nightly_retrain")
        yield page
        browser.close()


@pytest.fixture(scope="module")
def clicked_night(stack: Stack, first_night: str, page: Page) -> str:
    """Run id of a night that a person starts with the form: three models, k = 7, not published."""
    from hybridrec import discover

    known = set(_run_ids(stack))
    page.goto(f"{stack.installation.airflow_url}/dags/nightly_retrain")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.get_by_role("spinbutton").fill("7")
    form.get_by_role("spinbutton").press("Tab")
    for name in sorted(set(discover.names("models")) - set(QUICK_MODELS)):
        form.get_by_label(f"Remove {name}", exact=True).click()
    form.locator("label", has=page.locator("input[name=element_publish]")).first.click()
    _picture(stack, page, "form")
    form.get_by_test_id("trigger-dag-submit").click()
    deadline = time.monotonic() + 30
    while not (new := [run_id for run_id in _run_ids(stack) if run_id not in known]):
        assert time.monotonic() < deadline, "the form started no run"
        time.sleep(0.5)
    assert stack.wait_for("nightly_retrain", new[0]) == "success", stack.failures("nightly_retrain", new[0])
    return new[0]


def test_the_form_starts_the_night_that_it_shows(stack: Stack, clicked_night: str) -> None:
    manifest = json.loads((stack.installation.settings.runs / stack.file_safe(clicked_night) / "run.json").read_text())
    assert (manifest["config"]["k"], manifest["publish"]) == (7, False)
    assert set(QUICK_MODELS) <= set(manifest["models"])
    states = stack.states("nightly_retrain", clicked_night)
    assert states.pop("publish_table") == "skipped"
    assert set(states.values()) == {"success"}


def test_what_is_not_to_be_published_changes_nothing(stack: Stack, first_night: str, clicked_night: str) -> None:
    assert stack.published("select run_id from publications where state = 'live'") == [(stack.file_safe(first_night),)]


def test_buttons_lead_to_report_data_docs_and_mlflow(stack: Stack, first_night: str, page: Page) -> None:
    expected = {"Report": "/hybridrec/reports/", "Data Docs": "/hybridrec/docs/", "MLflow run": "/#/experiments/"}
    for name, address in expected.items():
        page.goto(f"{_run_url(stack, first_night)}/tasks/write_report/details")
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(f"**{address}**")
        page.wait_for_timeout(4000)
        _picture(stack, page, name.lower().replace(" ", "_"))
        assert page.locator("body").inner_text().strip()


def test_the_graph_is_green(stack: Stack, first_night: str, page: Page) -> None:
    # last of the browser's tests: the collapsed panel stays so
    page.set_viewport_size({"width": 2400, "height": 640})  # the night is a long line
    page.goto(_run_url(stack, first_night))
    page.get_by_label("Show Graph").first.click()
    page.get_by_label("Collapse Details Panel").first.click()
    page.get_by_label("taskGroups.expandAll").or_(page.get_by_label("Expand all")).first.click()
    page.get_by_text("write_report").first.wait_for()
    page.wait_for_timeout(3000)  # the graph's layout settles
    page.get_by_label("fit view").first.click()
    page.wait_for_timeout(1500)
    _picture(stack, page, "graph")
    page.set_viewport_size(WINDOW)
    assert page.get_by_text("failed", exact=True).count() == 0


def _run_ids(stack: Stack) -> list[str]:
    return [run["dag_run_id"] for run in stack.api._call("GET", "/api/v2/dags/nightly_retrain/dagRuns?limit=100")["dag_runs"]]


def _run_url(stack: Stack, run_id: str) -> str:
    return f"{stack.installation.airflow_url}/dags/nightly_retrain/runs/{quote(run_id, safe='')}"


def _picture(stack: Stack, page: Page, name: str) -> None:
    """Keep what the browser shows; HYBRIDREC_SCREENSHOTS names a folder that outlives the test."""
    folder = Path(os.environ.get("HYBRIDREC_SCREENSHOTS") or stack.installation.settings.home / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
