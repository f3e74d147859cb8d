"""
### ablation_study: the full contribution of each model of a night

Leaves one model at a time out of the candidates of an evaluated run, fits every strategy again on the remaining ones and evaluates it. A
night does the same with its published strategy on a sample; this study takes minutes to hours and says it for every strategy, with
narrower intervals. Its rows are added to the night's in `out_ablation`, and the run's report is written again.

**When it fails**

- `ablate_sources`: `run ... does not exist`, `was never judged`: look the id up in a report. `the candidates ... have no ...`: the model
  took no part in that run; choose another.
- `write_report`: clear it; the study is stored.

Nothing is published, and nothing that a reader sees changes. Clearing a task starts the study again.
"""

from __future__ import annotations

from airflow.sdk import DAG

from hybridrec_airflow import defaults, forms
from hybridrec_airflow.operators import python_job

RUN = "{{ params.run }}"

with DAG(
    "ablation_study",
    doc_md=__doc__,
    schedule=None,
    params={"run": forms.run(), "sources": forms.left_out()},
    tags=["evaluation", "by hand"],
    **defaults.DAG,
):
    ablate_sources = python_job("ablate_sources", run_id=RUN, sources=forms.LEFT_OUT)
    ablate_sources >> python_job("write_report", run_id=RUN)
