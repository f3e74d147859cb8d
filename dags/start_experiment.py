"""
### start_experiment: a few users, or all of its shares, get the variants of an experiment

Starts the experiment of `<home>/experiments/<name>.toml`. As a *canary* each variant has at most 5 % of the experiment's users, and
goes back by itself if an outcome or a guardrail is surely worse; start it again with *Running* when it has done no harm. The users'
lists are made by the next `nightly_retrain`.

**When it fails** the log says what is wrong with the file, or which other experiment has the same users. Nothing was changed.
"""

from __future__ import annotations

from airflow.sdk import DAG

from hybridrec_airflow import defaults, forms
from hybridrec_airflow.operators import python_job

with DAG(
    "start_experiment",
    doc_md=__doc__,
    schedule=None,
    params={
        "experiment": forms.experiment(),
        "phase": forms.phase(),
        "source": forms.source(),
        "reason": forms.reason("Kept in the experiment's log."),
    },
    tags=["experiments", "by hand"],
    **defaults.DAG,
):
    act = {"reason": "{{ params.reason }}", "by": "{{ dag_run.triggering_user_name or '' }}"}
    python_job("start_experiment", experiment="{{ params.experiment }}", phase="{{ params.phase }}", source="{{ params.source }}", **act)
