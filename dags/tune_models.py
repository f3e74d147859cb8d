"""
### tune_models: search for the models' options on this source

Opens a run of its own and, on the training data of its first split, tries options for each model that has some worth a
search. Options that are clearly better than the current ones are stored and used by every later night on this source. Start
it after a first ingest, after a change of the data's nature, or some times a year; a night itself never searches.

**When it fails**

- `open_run`, `build_interactions`, `build_features`: as in `nightly_retrain`; its runbook has the messages.
- `tune_model`: the model is not tuned, its earlier options stay. The log's last lines say why; clear the task.

Nothing is published. A search that was killed leaves what was stored before.
"""

from __future__ import annotations

from airflow.sdk import DAG

from hybridrec_airflow import defaults, forms
from hybridrec_airflow.assets import CORE
from hybridrec_airflow.operators import RUN_ID, python_job, spark_job, spark_server
from hybridrec_airflow.outcomes import DONE, DONE_OR_SKIPPED
from hybridrec_airflow.tasks import confirm_outcome, models_to_tune

TUNING = f"tuning.{RUN_ID}"  # not a night's id: both DAGs may run at once

with DAG(
    "tune_models",
    doc_md=__doc__,
    schedule=None,
    params={
        "source": forms.source(),
        "models": forms.models("Models to look for better options of; a model without options to search is skipped."),
        "trials": forms.trials(),
        "seconds": forms.seconds(),
    },
    tags=["training", "by hand"],
    **defaults.DAG,
):
    choices = {"source": "{{ params.source }}", "models": forms.MODELS, "publish": False}
    budget = {"trials": "{{ params.trials }}", "seconds": "{{ params.seconds }}"}
    start_spark = spark_server("start", TUNING)
    stop_spark = spark_server("stop", TUNING).as_teardown(setups=start_spark)
    open_run = python_job("open_run", inlets=CORE.values(), run_id=TUNING, **choices)
    models = models_to_tune(TUNING)
    build_interactions = spark_job("build_interactions", session=TUNING, run_id=TUNING)
    build_features = spark_job("build_features", session=TUNING, run_id=TUNING)
    tune_model = python_job("tune_model", over={"model": models}, run_id=TUNING, **budget)

    open_run >> [models, build_interactions]
    start_spark >> build_interactions >> build_features >> [tune_model, stop_spark]
    needed = {"build_features": DONE, "tune_model": DONE_OR_SKIPPED}  # skipped: no chosen model has options worth a search
    tune_model >> confirm_outcome(needed).as_teardown(on_failure_fail_dagrun=True)
