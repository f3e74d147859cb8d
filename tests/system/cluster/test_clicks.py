"""A night that a person starts by clicks on the production topology: its tables are those of one machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hybridrec.publishing.publish import version_of
from hybridrec_local.topology import Cluster
from tests.support.browser import DAG, GROUPS, Browser, chromium, log_in
from tests.support.cluster import small_night
from tests.support.cluster.production import live
from tests.support.cluster.small_night import NIGHT
from tests.support.scheduler import Dags

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Program


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def browser(cluster: Cluster, program: Program, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Provide the operator's browser."""
    return log_in_as("operator", cluster, program, tmp_path_factory.mktemp("screenshots"))


@pytest.fixture(scope="module")
def clicked(cluster: Cluster, run_id: str, browser: Browser) -> Iterator[str]:
    """Provide the id of a run like the one over REST, whose version is live again afterwards."""
    dags = Dags(cluster.connect("operator"))
    clicked = browser.start_night(**NIGHT)
    assert dags.wait_for(DAG, clicked) == "success", dags.failures(DAG, clicked)
    yield clicked
    dags.run("rollback_publication", version=version_of(run_id), reason="the clicked night was only a test")
    assert live(cluster).run_id == run_id


def log_in_as(user: str, cluster: Cluster, program: Program, pictures: Path) -> Browser:
    return log_in(program, cluster.url("api-server"), user, json.loads(cluster.secrets["airflow_users"])[user], pictures)


def test_every_table_of_a_night_by_clicks_is_that_of_one_machine(cluster: Cluster, clicked: str, alone: Path) -> None:
    name = Dags(cluster.connect("viewer")).file_safe(clicked)
    assert live(cluster).run_id == name
    assert live(cluster).content_hash == small_night.published(alone).content_hash
    assert small_night.of_run(name, small_night.hashes(cluster.volume("data"))) == small_night.hashes(alone)


def test_the_graph_is_green(clicked: str, browser: Browser) -> None:
    tasks = {task.task_id for task in browser.api.tasks(DAG, clicked)}
    assert browser.show_graph(clicked) == len(tasks) + GROUPS


def test_who_may_only_look_is_refused(cluster: Cluster, run_id: str, program: Program, tmp_path: Path) -> None:
    browser = log_in_as("viewer", cluster, program, tmp_path)
    known = browser.run_ids()
    browser.send(browser.open_form())
    browser.page.get_by_text("You do not have permission").first.wait_for()
    browser.picture("refused")
    assert browser.run_ids() == known
