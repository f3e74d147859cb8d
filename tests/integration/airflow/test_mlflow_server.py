"""The guard of MLflow's server lets a login pass, and the requests of a reader that change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from starlette.testclient import TestClient

API = "/api/2.0/mlflow"
AJAX = "/ajax-api/2.0/mlflow"


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    from starlette.responses import PlainTextResponse
    from starlette.testclient import TestClient

    from hybridrec_local.hosts import only_allowed_hosts
    from hybridrec_local.mlflow_server import Guard

    (tmp_path / "readers").write_text(json.dumps({"viewer": "looks", "empty": ""}))
    (tmp_path / "writers").write_text(json.dumps({"jobs": "writes"}))
    guarded = Guard(PlainTextResponse("MLflow"), tmp_path / "readers", tmp_path / "writers")
    return TestClient(only_allowed_hosts(guarded), base_url="http://127.0.0.1:5000")


@pytest.mark.parametrize("login", [None, ("viewer", "guessed"), ("nobody", "looks"), ("", ""), ("empty", ""), ("viewer", "")], ids=str)
def test_nothing_is_seen_without_a_login(client: TestClient, login: tuple[str, str] | None) -> None:
    for path in ("/", f"{API}/experiments/search", f"{AJAX}/upload-artifact"):
        answer = client.post(path, auth=login) if path != "/" else client.get(path, auth=login)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="hybridrec"')
        assert "MLflow" not in answer.text
    assert client.get("/health", auth=login).status_code == 200


@pytest.mark.parametrize("header", ["Basic", "Basic ?", "Basic /w==", "Bearer dmlld2VyOmxvb2tz", "Basic dmlld2Vy"])
def test_a_broken_login_is_none(client: TestClient, header: str) -> None:
    assert client.get("/", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", f"{AJAX}/experiments/get?experiment_id=1", 200),
        ("POST", f"{API}/experiments/search", 200),
        ("POST", f"{AJAX}/runs/search", 200),
        ("POST", f"{AJAX}/logged-models/search", 200),
        ("POST", f"{AJAX}/experiments/search-datasets", 200),
        ("POST", "/ajax-api/3.0/mlflow/traces/search", 200),
        ("POST", "/graphql", 200),
        ("POST", f"{API}/experiments/create", 403),
        ("POST", f"{AJAX}/upload-artifact?run_uuid=1&path=dag.py", 403),
        ("POST", f"{AJAX}/runs/search/../../experiments/create", 403),
        ("POST", f"{API}/runs/set-tag?x=/runs/search", 403),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/search", 403),
        ("PATCH", f"{API}/model-versions/update", 403),
        ("DELETE", f"{API}/registered-models/alias", 403),
    ],
)
def test_a_reader_changes_nothing_and_a_job_may(client: TestClient, method: str, path: str, status: int) -> None:
    assert client.request(method, path, auth=("viewer", "looks")).status_code == status
    assert client.request(method, path, auth=("jobs", "writes")).status_code == 200


@pytest.mark.parametrize("path", ["", "/config", "/providers/codex/health", "/sessions/11111111-1111-4111-8111-111111111111/stream"])
def test_nobody_runs_programs_through_mlflows_assistant(client: TestClient, path: str) -> None:
    """A GET begins a session's turn, so that a reader could let an AI tool of this machine work as the server's user."""
    for login in (("viewer", "looks"), ("jobs", "writes")):
        answer = client.get(f"/ajax-api/3.0/mlflow/assistant{path}", auth=login)
        assert (answer.status_code, "MLflow's assistant is closed" in answer.text) == (403, True)


def test_mlflow_has_its_assistant_where_it_is_closed() -> None:
    from mlflow.server.assistant.api import assistant_router

    from hybridrec_local.mlflow_server import CLOSED

    paths = [route.path for route in assistant_router.routes]
    assert len(paths) > 5
    assert all(CLOSED.fullmatch(path) for path in paths)


def test_a_changed_password_counts_at_once(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "readers").write_text(json.dumps({"viewer": "another"}))
    assert client.get("/", auth=("viewer", "looks")).status_code == 401
    assert client.get("/", auth=("viewer", "another")).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:5000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("rebound.example", 400),
        ("127.0.0.1.rebound.example", 400),
        ("", 400),
    ],
)
def test_only_names_of_this_machine_get_an_answer(client: TestClient, host: str, status: int) -> None:
    assert client.get("/", auth=("viewer", "looks"), headers={"Host": host}).status_code == status


def test_further_names_are_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridrec_local.hosts import allowed_hosts
    from hybridrec_local.mlflow_server import _mlflow_hosts

    monkeypatch.setenv("HYBRIDREC_ALLOWED_HOSTS", "api-server:8080, recommend.example,,127.0.0.1:8080,")
    assert allowed_hosts() == ["localhost", "127.0.0.1", "api-server", "recommend.example"]
    assert "https://recommend.example:*" in _mlflow_hosts()["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")


def test_every_query_of_mlflows_pages_is_a_path_that_mlflow_has() -> None:
    """A new version of MLflow may read by POST elsewhere: its searches are let through, or this says which are not."""
    from mlflow.server import app

    from hybridrec_local.mlflow_server import QUERIES

    posts = {rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    let_through = {path for path in posts if QUERIES.fullmatch(path)}
    assert not [
        path for path in let_through if any(verb in path for verb in ("create", "update", "delete", "upload", "set-", "log-", "restore"))
    ]
    searches = {path for path in posts if path.endswith("/search") and "/mlflow/" in path}
    assert searches - let_through <= {path for path in searches if "prompt-optimization" in path}  # jobs that this server does not run
