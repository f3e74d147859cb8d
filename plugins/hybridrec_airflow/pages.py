"""Pages beside the Airflow UI: reports, Data Docs, the way into MLflow; for users who may read the DAG nightly_retrain.

/hybridrec/                   the runs, newest first, and which is live now
/hybridrec/reports/<run_id>   a run's report
/hybridrec/docs/...           Data Docs
/hybridrec/mlflow/<run_id>    leads to the run in MLflow

Airflow mounts pages of plugins without its own check. A browser without a session is sent to Airflow's login, another program
gets 401. Only files below the two folders are served: a name is resolved first and compared after. Report and Data Docs show
text from the data, so the browser is told to run no script in them: one in a title cannot act as the person who reads it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import httpx
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.middleware.base import RequestResponseEndpoint
from starlette.status import HTTP_303_SEE_OTHER, HTTP_401_UNAUTHORIZED

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.runs.run import run_folder
from hybridrec.storage import store
from hybridrec_airflow.links import PREFIX

# Style and images of our own and nothing else: no script runs, nothing is loaded from or sent to anywhere.
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"  # Airflow's UI may show them within its own pages
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LOGIN = "/api/v2/auth/login"  # leads to the login of whatever auth manager Airflow has
WRONG_SESSION = "Invalid JWT token"  # what Airflow says with 403 of a cookie that it has not signed, or no longer
MLFLOW_SECONDS = 5.0

may_read = requires_access_dag("GET", DagAccessEntity.RUN, "nightly_retrain")
app = FastAPI(title="hybridrec", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(may_read)])


@app.middleware("http")
async def protect(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Let every answer, a refusal too, tell the browser what it may do with it."""
    answer = await call_next(request)
    answer.headers.update(HEADERS)
    return answer


@app.exception_handler(HTTPException)
async def refuse(request: Request, error: HTTPException) -> Response:
    """Send a browser without a valid session to the login and back; tell other clients the problem."""
    if "text/html" not in request.headers.get("accept", ""):
        return await http_exception_handler(request, error)
    if error.status_code != HTTP_401_UNAUTHORIZED and error.detail != WRONG_SESSION:
        from hybridrec.report.pages.page import template

        return HTMLResponse(template("refused.html").render(sentence=error.detail, prefix=PREFIX), error.status_code)
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{LOGIN}?{urlencode({'next': request.url.path + query})}", HTTP_303_SEE_OTHER)


@app.get("/", response_class=HTMLResponse)
def runs() -> HTMLResponse:
    """Return the runs with their reports, newest first, and which of them is live now."""
    from hybridrec.report.pages.run_list import list_runs, render_runs

    return HTMLResponse(render_runs(list_runs(Settings.from_env(), datetime.now(UTC)), PREFIX))


@app.get("/reports/{run_id}")
def report(run_id: str) -> FileResponse:
    """Return a run's report."""
    try:
        folder = store.committed_folder(run_folder(Settings.from_env(), run_id) / "report")
    except (PermanentError, store.NotCommitted) as error:
        raise HTTPException(404, f"There is no report of run {run_id!r} yet; the task write_report makes it.") from error
    return FileResponse(folder / "report.html")


@app.get("/docs/{path:path}")
def data_docs(path: str) -> FileResponse:
    """Return a page of the Data Docs."""
    wanted = _file_below(Settings.from_env().data_docs, path or "index.html")
    if wanted is None:
        raise HTTPException(404, "There is no such page in the Data Docs; the task check_table makes them.")
    return FileResponse(wanted)


def _file_below(folder: Path, name: str) -> Path | None:
    """Return a file in a folder, None if there is none of that name: nothing outside is served, by whatever name or link."""
    root = folder.resolve()
    try:
        wanted = (root / name).resolve()
        return wanted if wanted.is_relative_to(root) and wanted.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, with a null byte, a circle of links
        return None


@app.get("/mlflow/{run_id}")
def mlflow_run(run_id: str) -> RedirectResponse:
    """Return the link to the run's page in MLflow, or to the list of experiments if the run is not registered yet."""
    server = os.environ.get("HYBRIDREC_MLFLOW_URL", "http://127.0.0.1:5000")
    try:
        experiment, parent = _mlflow_ids(server, run_id)
    except PermanentError as error:
        raise HTTPException(404, f"There is no run {run_id!r}.") from error
    except (OSError, httpx.HTTPError, LookupError):
        return RedirectResponse(server)
    return RedirectResponse(f"{server}/#/experiments/{experiment}/runs/{parent}")


def _mlflow_ids(server: str, run_id: str) -> tuple[str, str]:
    """Return MLflow's ids of the experiment and the run that carries our run's name."""
    run_folder(Settings.from_env(), run_id)  # refuses a name that is none before it stands in a query
    experiments = _ask(server, "experiments/search", {"max_results": 1000})["experiments"]
    query = {"experiment_ids": [info["experiment_id"] for info in experiments], "filter": f"attributes.run_name = '{run_id}'"}
    info = _ask(server, "runs/search", query)["runs"][0]["info"]
    return info["experiment_id"], info["run_id"]


def _ask(server: str, method: str, body: dict[str, object]) -> dict[str, list[dict[str, dict[str, str]]]]:
    # MLflow's pages accept Airflow's login; none with an auth manager without a password file
    login = next(iter(SimpleAuthManager.get_passwords().items()), None)
    with httpx.Client(trust_env=False, timeout=MLFLOW_SECONDS) as direct:
        answer = direct.post(f"{server}/api/2.0/mlflow/{method}", json=body, auth=login)
        return answer.raise_for_status().json()
