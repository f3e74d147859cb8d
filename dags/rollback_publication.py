"""
### rollback_publication: an earlier table goes live again; publications are held

One transaction moves what services read to a kept version; the version that was live stays, so this can itself be
undone. Leave *Version* empty to choose from the kept versions with their dates and figures: `choose_version` lists them and
waits, up to twelve hours, under *Required Actions*. With *Version* given nothing waits.

The next `nightly_retrain` publishes again, unless you hold publications: it is then computed, checked and reported, and what is
live stays live until a person starts this DAG with *Lift the hold*.

**When it fails** the log says which versions exist. Nothing was changed.
"""

from __future__ import annotations

from airflow.sdk import DAG

from hybridrec_airflow import defaults, forms
from hybridrec_airflow.assets import RECOMMENDATIONS
from hybridrec_airflow.choosing import ChooseVersion
from hybridrec_airflow.operators import python_job

with DAG(
    "rollback_publication",
    doc_md=__doc__,
    schedule=None,
    params={"version": forms.version(), "action": forms.action(), "reason": forms.reason()},
    tags=["publishing", "by hand"],
    **defaults.DAG | {"max_active_runs": 4},  # a run that waits for a choice blocks no other one
):
    choose_version = ChooseVersion(task_id="choose_version", doc_md=ChooseVersion.__doc__)
    act = {"reason": "{{ params.reason }}", "action": "{{ params.action }}", "by": "{{ dag_run.triggering_user_name or '' }}"}
    chosen = "{{ ti.xcom_pull(task_ids='choose_version') or '' }}"
    choose_version >> python_job("rollback_publication", outlets=[RECOMMENDATIONS], version=chosen, **act)
