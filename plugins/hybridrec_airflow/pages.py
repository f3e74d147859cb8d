"""Pages beside the Airflow UI: reports, Data Docs, the way into MLflow; behind Airflow's own login.

/hybridrec/                   the runs, newest first, and which is live now
/hybridrec/reports/<run_id>   a run's report
/hybridrec/docs/...           Data Docs
/hybridrec/mlflow/<run_id>    leads to the run in MLflow

Only files below the two folders are served: a name is resolved first and compared after. Report and Data Docs show
text from the data, so the browser is told to run no script in them: one in a title cannot act as the person who reads it.
"""

from __future__ import annotations

import json
import os
import urllib.request
from datetime import UTC, datetime

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from hybridrec import store
from hybridrec.errors import BadData
from hybridrec.run import run_folder
from hybridrec.settings import Settings
from hybridrec_airflow.links import PREFIX

# Style and images of our own and nothing else: no script runs, nothing is loaded from or sent to anywhere.
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; form-action 'none'; base-uri 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
MLFLOW_SECONDS = 5.0

app = FastAPI(title="hybridrec", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])


@app.get("/", response_class=HTMLResponse)
def runs() -> HTMLResponse:
    """The runs with their reports, newest first, and which of them is live now."""
    from hybridrec.report.runs import list_runs, render_runs

    return HTMLResponse(render_runs(list_runs(Settings.from_env(), datetime.now(UTC)), PREFIX), headers=HEADERS)


@app.get("/reports/{run_id}")
def report(run_id: str) -> FileResponse:
    """A run's report."""
    try:
        folder = store.committed_folder(run_folder(Settings.from_env(), run_id) / "report")
    except (BadData, store.NotCommitted) as error:
        raise HTTPException(404, f"There is no report of run {run_id!r} yet; the task write_report makes it.") from error
    return FileResponse(folder / "report.html", headers=HEADERS)


@app.get("/docs/{path:path}")
def data_docs(path: str) -> FileResponse:
    """A page of the Data Docs."""
    root = Settings.from_env().data_docs.resolve()
    wanted = (root / (path or "index.html")).resolve()
    if not wanted.is_relative_to(root) or not wanted.is_file():
        raise HTTPException(404, "There is no such page in the Data Docs; the task check_table makes them.")
    return FileResponse(wanted, headers=HEADERS)


@app.get("/mlflow/{run_id}")
def mlflow_run(run_id: str) -> RedirectResponse:
    """Leads to the run's page in MLflow, or to the list of experiments where the run is not registered yet."""
    server = os.environ.get("HYBRIDREC_MLFLOW_URL", "http://127.0.0.1:5000")
    try:
        experiment, parent = _mlflow_ids(server, run_id)
    except (OSError, LookupError):
        return RedirectResponse(server)
    return RedirectResponse(f"{server}/#/experiments/{experiment}/runs/{parent}")


def _mlflow_ids(server: str, run_id: str) -> tuple[str, str]:
    """MLflow's ids of the experiment and the run that carries our run's name."""
    run_folder(Settings.from_env(), run_id)  # refuses a name that is none before it stands in a query
    experiments = _ask(server, "experiments/search", {"max_results": 1000})["experiments"]
    query = {"experiment_ids": [found["experiment_id"] for found in experiments], "filter": f"attributes.run_name = '{run_id}'"}
    found = _ask(server, "runs/search", query)["runs"][0]["info"]
    return found["experiment_id"], found["run_id"]


def _ask(server: str, method: str, body: dict[str, object]) -> dict[str, list[dict[str, dict[str, str]]]]:
    request = urllib.request.Request(  # noqa: S310  the address is ours
        f"{server}/api/2.0/mlflow/{method}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=MLFLOW_SECONDS) as answer:
        return json.load(answer)
