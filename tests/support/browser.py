"""Drive Chromium as a user who is logged in to Airflow: start a night with its form, look at its graph, keep pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from hybridrec.base import extensions
from hybridrec.base.waiting import first_true

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Program
    from playwright.sync_api import Locator, Page, ViewportSize

    from hybridrec_local.rest import AirflowApi
    from tests.support.scheduler import Stack

DAG = "nightly_retrain"
GROUPS = 4  # of its tasks
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOW: ViewportSize = {"width": 1600, "height": 1100}
WIDE: ViewportSize = {"width": 2400, "height": 640}  # the night is a long line
FORM_SECONDS = 30.0


@dataclass(frozen=True)
class Browser:
    """A window with Airflow's pages. pictures: the folder for what it shows; HYBRIDREC_SCREENSHOTS names one that outlives the test."""

    page: Page
    api: AirflowApi
    pictures: Path

    def open_night(self, run_id: str = "", below: str = "") -> None:
        """Open the page of the night's DAG, of one of its runs, or a page below that."""
        run = f"/runs/{quote(run_id, safe='')}" if run_id else ""
        self.page.goto(f"{self.api.url}/dags/{DAG}{run}{below}")

    def open_form(self) -> Locator:
        """Return the form that starts a night."""
        self.open_night()
        self.page.get_by_role("button", name="Trigger").first.click()
        form = self.page.get_by_role("dialog")
        form.get_by_role("spinbutton").wait_for()
        return form

    def start_night(self, *, source: str, models: Collection[str], k: int, publish: bool = True) -> str:
        """Fill the form and send it; returns the id of the run that it has started."""
        form = self.open_form()
        form.get_by_role("spinbutton").fill(str(k))
        form.get_by_role("spinbutton").press("Tab")
        choice = form.locator("#element_source")
        if choice.inner_text().strip() != source:
            choice.get_by_role("combobox").click()
            self.page.get_by_role("option", name=source, exact=True).click()
        for name in sorted(set(extensions.names("models")) - set(models)):
            form.get_by_label(f"Remove {name}", exact=True).click()
        if not publish:
            form.locator("label", has=self.page.locator("input[name=element_publish]")).first.click()
        return self._sent(form, DAG)

    def start(self, dag_id: str, chosen: Mapping[str, str], **written: str) -> str:
        """Fill the form of a DAG and send it; returns the id of the run that it has started. chosen: options as the form shows them."""
        self.page.goto(f"{self.api.url}/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").first.click()
        form = self.page.get_by_role("dialog")
        for name, value in written.items():
            form.locator(f"#element_{name}").fill(value)
        for name, option in chosen.items():
            form.locator(f"#element_{name}").get_by_role("combobox").click()
            self.page.get_by_role("option", name=option).click()
        return self._sent(form, dag_id)

    def _sent(self, form: Locator, dag_id: str) -> str:
        known = self.run_ids(dag_id)
        self.picture(f"form_{dag_id}")
        self.send(form)
        new = first_true(lambda: self.run_ids(dag_id) - known, FORM_SECONDS, every=0.5)
        assert new, "the form started no run"
        self.page.goto("about:blank")  # a page that follows a run takes half a core from it
        return new.pop()

    def send(self, form: Locator) -> None:
        """Press the form's button."""
        form.get_by_test_id("trigger-dag-submit").click()

    def show_graph(self, run_id: str) -> int:
        """Show all tasks of a night in the whole window; return how many boxes are green: the tasks and their groups.

        The panel beside the graph stays away afterwards.
        """
        self.page.set_viewport_size(WIDE)
        self.open_night(run_id)
        self.page.get_by_label("Show Graph").first.click()
        self.page.get_by_label("Collapse Details Panel").first.click()
        self.page.get_by_label("taskGroups.expandAll").or_(self.page.get_by_label("Expand all")).first.click()
        self.page.get_by_text("write_report").first.wait_for()
        self.page.wait_for_timeout(3000)  # the graph's layout settles
        self.page.get_by_label("fit view").first.click()
        self.page.wait_for_timeout(1500)
        self.picture("graph")
        green = self.page.get_by_text("success", exact=True).count()
        self.page.set_viewport_size(WINDOW)
        return green

    def picture(self, name: str) -> None:
        """Keep what the window shows."""
        folder = Path(os.environ.get("HYBRIDREC_SCREENSHOTS") or self.pictures)
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png")

    def run_ids(self, dag_id: str = DAG) -> set[str]:
        """Return the run ids of all nights, or of another DAG."""
        runs: list[dict[str, Any]] = self.api._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?limit=100")["dag_runs"]
        return {run["dag_run_id"] for run in runs}


@contextmanager
def chromium() -> Iterator[Program]:
    """Start the program for any number of windows; one at a time in a process."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium found; `.ci/install chromium` installs it"
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield program
        program.close()


def log_in(program: Program, url: str, user: str, password: str, pictures: Path) -> Browser:
    """Return a window of its own in which a user has logged in by the form and sees the night's DAG."""
    from hybridrec_local.rest import AirflowApi

    page = program.new_page(viewport=WINDOW, http_credentials={"username": user, "password": password})  # MLflow asks for them
    page.set_default_timeout(60_000)
    page.goto(f"{url}/auth/login?next=%2Fdags%2F{DAG}")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/dags/{DAG}")
    return Browser(page, AirflowApi(url, user, password), pictures)


@pytest.fixture(scope="module")
def browser(stack: Stack) -> Iterator[Browser]:
    """Provide a browser in which the admin is logged in."""
    pictures = stack.installation.settings.home / "screenshots"
    with chromium() as program:
        yield log_in(program, stack.installation.airflow_url, "admin", stack.installation.password("admin"), pictures)
