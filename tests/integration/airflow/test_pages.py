"""Our pages beside the Airflow UI: for users who may read the DAG, and only reports and Data Docs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hybridrec.storage import store
from hybridrec.targets.sqlite import SqliteTarget
from tests.support.published_rows import publish

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


@pytest.fixture
def client(home: Path, airflow_home: Path) -> Iterator[TestClient]:
    from fastapi.testclient import TestClient

    from hybridrec_airflow.pages import app, may_read

    app.dependency_overrides[may_read] = lambda: None
    yield TestClient(app)
    app.dependency_overrides.clear()


@pytest.fixture
def stranger(home: Path, airflow_home: Path) -> TestClient:
    """Provide a client without a session."""
    from fastapi.testclient import TestClient

    from hybridrec_airflow.pages import app

    return TestClient(app, follow_redirects=False)


@pytest.fixture
def report(home: Path) -> Path:
    run = home / "runs" / "night-1"
    with store.staged(run / "report") as folder:
        (folder / "report.html").write_text("<h1>night-1</h1>")
    (run / "run.json").write_text("{}")
    return run


def test_shows_a_report_that_runs_no_script(client: TestClient, report: Path) -> None:
    answer = client.get("/reports/night-1")
    assert (answer.status_code, answer.text) == (200, "<h1>night-1</h1>")
    assert "night-1" in client.get("/").text


def test_the_list_of_runs_says_what_is_live_now(client: TestClient, report: Path, home: Path) -> None:
    target = SqliteTarget(home / "published" / "recommendations.db")
    publish(target, "v1", "one")
    answer = client.get("/")
    assert "version v1 of run run-v1, published at 2026-04-11 00:00 UTC" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert '<a href="/hybridrec/reports/night-1">night-1</a>' in answer.text


PAGES = ("/", "/reports/night-1", "/docs/", "/mlflow/night-1")


@pytest.mark.parametrize("page", PAGES)
def test_a_browser_without_a_session_is_sent_to_the_login_and_back(page: str, stranger: TestClient, report: Path) -> None:
    answer = stranger.get(f"{page}?x=1", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/api/v2/auth/login?next={page.replace('/', '%2F')}%3Fx%3D1"
    assert "night-1</h1>" not in answer.text


@pytest.mark.parametrize("page", PAGES)
def test_another_program_without_a_session_is_told_so(page: str, stranger: TestClient, report: Path) -> None:
    assert stranger.get(page).status_code == 401


def test_every_answer_says_what_the_browser_may_do_with_it(client: TestClient, stranger: TestClient, report: Path) -> None:
    refused = [stranger.get("/"), stranger.get("/", headers={"Accept": "text/html"})]
    for answer in (*refused, *(client.get(page, follow_redirects=False) for page in (*PAGES, "/reports/none", "/nowhere"))):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "script-src" not in policy and "frame-ancestors 'self'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["x%00y", "%00", "'", "%22", "a" * 300, "%ff", "<script>", "x'%20or%201=1"])
@pytest.mark.parametrize("page", ["reports", "docs", "mlflow"])
def test_a_name_that_cannot_be_is_not_found(page: str, name: str, client: TestClient, report: Path, home: Path) -> None:
    (home / "data_docs").mkdir()
    assert client.get(f"/{page}/{name}").status_code == 404


def test_a_run_without_report_is_told_apart(client: TestClient, report: Path) -> None:
    sentence = "There is no report of run 'night-2' yet; the task write_report makes it."
    assert client.get("/reports/night-2").json() == {"detail": sentence}


@pytest.mark.parametrize(("page", "sentence"), [("reports", "There is no report of run"), ("docs", "no such page"), ("mlflow", "no run")])
def test_a_person_reads_what_is_missing_on_a_page(page: str, sentence: str, client: TestClient, report: Path, home: Path) -> None:
    (home / "data_docs").mkdir()
    answer = client.get(f"/{page}/<b>'", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert sentence in answer.text and '<a href="/hybridrec/">' in answer.text
    assert "<b>" not in answer.text


@pytest.mark.parametrize("name", ["..%2f..%2fetc", "a%2fb", "%2e%2e%2fx", "a..b"])
def test_a_run_id_cannot_leave_the_runs(name: str, client: TestClient, report: Path) -> None:
    assert client.get(f"/reports/{name}").status_code == 404


@pytest.mark.parametrize("path", ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "a/../../secret.txt", "/etc/passwd", "link.txt"])
def test_data_docs_serve_nothing_outside(path: str, client: TestClient, home: Path) -> None:
    docs = home / "data_docs"
    docs.mkdir()
    (docs / "index.html").write_text("docs")
    (home / "secret.txt").write_text("secret")
    (docs / "link.txt").symlink_to(home / "secret.txt")
    assert client.get("/docs/").text == "docs"
    answer = client.get(f"/docs/{path}")
    assert answer.status_code == 404 and "secret" not in answer.text.replace("secret.txt", "")


def test_without_mlflow_the_link_leads_to_its_entrance(client: TestClient, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_MLFLOW_URL", "http://127.0.0.1:9")
    answer = client.get("/mlflow/night-1", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9")
