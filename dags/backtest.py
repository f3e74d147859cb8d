"""
### backtest: the night judged at several points in time

Opens a run, then goes back from its point in time by *Step* days for each *Origin*. Every origin is a run of its own: the
jobs of `nightly_retrain` from the matrices to the judgement, without the full split, the registry and publishing. The last
task gathers the figures in `out_backtest` and draws them; the button *Report* opens the page.

Why not `nightly_retrain` itself, triggered for each origin? It would register old models and move the champion.

**When it fails**

- `open_run`: as in `nightly_retrain`; its runbook has the messages.
- `judge_origin`: the backtest goes on without that origin. The log names the failed job and the path of its log.
  A cleared task continues after the last finished job.
- `summarise_backtest`: no origin was judged.
"""

from __future__ import annotations

from airflow.sdk import DAG

from hybridrec_airflow import defaults, forms
from hybridrec_airflow.assets import CORE
from hybridrec_airflow.operators import RUN_ID, python_job, spark_server
from hybridrec_airflow.outcomes import DONE
from hybridrec_airflow.tasks import confirm_outcome, origin_numbers

BACKTEST = f"backtest.{RUN_ID}"  # not a night's id: both DAGs may run at once

with DAG(
    "backtest",
    doc_md=__doc__,
    schedule=None,
    params={
        "source": forms.source(),
        "as_of": forms.as_of(),
        "models": forms.models("Base models that are judged."),
        "k": forms.k(),
        "origins": forms.origins(),
        "step_days": forms.step_days(),
    },
    tags=["evaluation", "by hand"],
    **defaults.DAG,
):
    choices = {"source": "{{ params.source }}", "as_of": forms.AS_OF, "models": forms.MODELS, "k": forms.K}
    start_spark = spark_server("start", BACKTEST)
    stop_spark = spark_server("stop", BACKTEST).as_teardown(setups=start_spark)
    open_run = python_job("open_run", inlets=CORE.values(), run_id=BACKTEST, publish=False, judge_only=True, **choices)
    origins = origin_numbers("{{ params.origins }}")
    judge_origin = python_job(
        "judge_origin", over={"origin": origins}, session=BACKTEST, run_id=BACKTEST, step_days="{{ params.step_days }}"
    )
    summarise_backtest = python_job("summarise_backtest", trigger_rule="all_done_min_one_success", run_id=BACKTEST)

    confirmed = confirm_outcome({"summarise_backtest": DONE}).as_teardown(on_failure_fail_dagrun=True)

    [open_run, start_spark] >> judge_origin >> [summarise_backtest, stop_spark]
    summarise_backtest >> confirmed
