"""
### decide_experiment: everybody gets the variant, or everybody the night's own lists again

*Back* is in effect with the next look-up. *All* is in effect with the next `nightly_retrain`; then put the variant's options into
`hybridrec.toml` and send the experiment back, which changes no list. Until a bound is crossed or the horizon is reached a reason is needed.

**When it fails** the log says why. Nothing was changed.
"""

from __future__ import annotations

from airflow.sdk import DAG

from hybridrec_airflow import defaults, forms
from hybridrec_airflow.operators import python_job

with DAG(
    "decide_experiment",
    doc_md=__doc__,
    schedule=None,
    params={
        "experiment": forms.experiment(),
        "choice": forms.choice(),
        "variant": forms.variant(),
        "reason": forms.why_now(),
    },
    tags=["experiments", "by hand"],
    **defaults.DAG,
):
    chosen = {"choice": "{{ params.choice }}", "variant": "{{ params.variant or '' }}"}
    act = {"reason": "{{ params.reason or '' }}", "by": "{{ dag_run.triggering_user_name or '' }}"}
    python_job("decide_experiment", experiment="{{ params.experiment }}", **chosen, **act)
