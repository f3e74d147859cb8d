"""
### nightly_retrain: core tables to a published table and a report

Builds interactions and features, trains every base model on three splits, merges their candidates, trains and judges the
rankers, registers the night's model bundle, ranks and publishes. Until `publish_table` has switched, last night's table stays live, and an
earlier failure does not affect readers. Every task may be cleared and gives the same result again.

**When it fails** read the last lines of the task's log: they say what was wrong and what to do.

- `open_run`: the form asks for something that is not there (a model, a time before the data), or `ingest` has not run.
- `train_model`: the night goes on without a model that fails, unless it is a required one; the report names it.
- `check_leaks`: something has seen what it is judged on, so no figure of the night could be believed. The line names it.
- `promote_model` succeeds also when the gate says no: the reasons are on the model version and in the report.
- `check_output`: the table differs too much from the live version. The report shows every check; nothing was published. If the
  difference is wanted, start a run with an *Override reason*; it is kept with the version.
- `analyse_experiments`: the lists are published all the same; the report has no figures of experiments. Clear it.
- `publish_table` is pink (skipped) when the form's *Publish* was off, in a backfill, and while a person holds publications.
- `confirm_outcome` is the run's colour: red unless the run has published or `publish_table` was skipped for one of these reasons.

A backfill (`airflow backfill create`, or *Trigger*, *Backfill*) judges and reports each day as of that day and publishes nothing,
unless its form says so. One night at a time is enough for a machine: `--max-active-runs 1`.

*Late*: an alert is written four hours after the start. To undo a publication run `rollback_publication`.
"""

from __future__ import annotations

from airflow.sdk import DAG, TaskGroup

from hybridrec.runs.run import SPLITS
from hybridrec_airflow import defaults, forms
from hybridrec_airflow.assets import CORE, RECOMMENDATIONS
from hybridrec_airflow.operators import RUN_ID, python_job, spark_job, spark_server
from hybridrec_airflow.outcomes import DONE, DONE_OR_SKIPPED
from hybridrec_airflow.tasks import chosen_models

with DAG(
    "nightly_retrain",
    doc_md=__doc__,
    schedule=defaults.daily_at("0 2 * * *"),
    params={
        "source": forms.source(),
        "as_of": forms.as_of(),
        "models": forms.models(),
        "k": forms.k(),
        "publish": forms.publish(),
        "publish_backfill": forms.publish_backfill(),
        "override_reason": forms.override_reason(),
    },
    tags=["training", "publishing", "daily"],
    deadline=defaults.deadline(hours=4),
    **defaults.DAG,
):
    choices = {"source": "{{ params.source }}", "as_of": forms.AS_OF, "models": forms.MODELS}
    choices |= {"k": forms.K, "publish": forms.PUBLISH, "backfill": forms.BACKFILL}
    start_spark = spark_server("start")
    stop_spark = spark_server("stop").as_teardown(setups=start_spark)

    with TaskGroup("prepare", prefix_group_id=False):
        open_run = python_job("open_run", inlets=CORE.values(), run_id=RUN_ID, **choices)
        models = chosen_models(RUN_ID)
        build_interactions = spark_job("build_interactions", run_id=RUN_ID)
        build_features = spark_job("build_features", run_id=RUN_ID)

    with TaskGroup("train", prefix_group_id=False):
        train_model = python_job("train_model", over={"model": models, "split": list(SPLITS)}, run_id=RUN_ID)
        # A model that failed is left out by the job; without a single fit there is nothing to merge.
        generate_candidates = spark_job(
            "generate_candidates", over={"split": list(SPLITS)}, trigger_rule="all_done_min_one_success", run_id=RUN_ID
        )
        check_leaks = python_job("check_leaks", run_id=RUN_ID)
        train_ranker = python_job("train_ranker", run_id=RUN_ID)
        evaluate = python_job("evaluate", run_id=RUN_ID)
        register_model = python_job("register_model", run_id=RUN_ID)
        promote_model = python_job("promote_model", run_id=RUN_ID)

    with TaskGroup("rank", prefix_group_id=False):
        rank_candidates = spark_job("rank_candidates", run_id=RUN_ID)
        apply_rules = spark_job("apply_rules", run_id=RUN_ID)
        check_output = python_job("check_output", run_id=RUN_ID, override_reason="{{ params.override_reason or '' }}")

    with TaskGroup("publish", prefix_group_id=False):
        analyse_experiments = python_job("analyse_experiments", run_id=RUN_ID)
        publish_table = python_job("publish_table", outlets=[RECOMMENDATIONS], run_id=RUN_ID)
        # Teardowns run whatever happens before, also when a person marks the run as failed. The report tells of such a night too;
        # the other one alone decides the run's colour.
        write_report = python_job("write_report", run_id=RUN_ID).as_teardown(setups=open_run)
        ended = {"check_output": DONE, "publish_table": DONE_OR_SKIPPED}
        confirm_outcome = python_job("confirm_outcome", needed=ended, run_id=RUN_ID).as_teardown(on_failure_fail_dagrun=True)

    open_run >> [models, build_interactions]
    start_spark >> build_interactions >> build_features >> train_model >> generate_candidates
    generate_candidates >> check_leaks >> train_ranker >> evaluate >> register_model >> promote_model
    promote_model >> rank_candidates >> apply_rules >> check_output >> publish_table >> [write_report, confirm_outcome]
    build_features >> analyse_experiments >> write_report
    apply_rules >> stop_spark
