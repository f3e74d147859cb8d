"""
### ingest: raw data to checked core tables

Fetches a source's raw files, turns them into `core_items`, `core_users` and `core_events`, and checks each table with
Great Expectations. A bad row goes to `quarantine_<table>` with a reason; a bad table stops the run. A rerun replaces
what it wrote, so clearing a task is always safe. A table whose raw files, options and code are those of the last time
stays as it is.

**When it fails**

- `land_source`: the data could not be fetched or read. The last lines of the log name the file and the remedy.
- `clean_table`: a Spark problem; it is retried. If it stays, look at `<home>/spark/<session>.log`.
- `check_table`: the table breaks a promise. Open the *Data Docs* button, correct the source, clear `land_source`.

Until this is fixed, `nightly_retrain` continues with the last accepted core tables.
"""

from __future__ import annotations

from airflow.sdk import DAG, BaseOperator, TaskGroup

from hybridrec_airflow import defaults, forms
from hybridrec_airflow.assets import CORE
from hybridrec_airflow.operators import RUN_ID, python_job, spark_job, spark_server
from hybridrec_airflow.outcomes import DONE
from hybridrec_airflow.tasks import confirm_outcome

SOURCE = "{{ params.source }}"
SESSION = f"ingest.{RUN_ID}"  # not a night's id: both DAGs may run at once


def checked_table(table: str, stop_spark: BaseOperator, trigger_rule: str = "all_success") -> TaskGroup:
    """Clean one core table, then check it, which needs no Spark."""
    with TaskGroup(table) as group:
        clean = spark_job("clean_table", task_id="clean_table", trigger_rule=trigger_rule, session=SESSION, source=SOURCE, table=table)
        clean >> [python_job("check_table", outlets=[CORE[table]], source=SOURCE, table=table), stop_spark]
    return group


with DAG(
    "ingest",
    doc_md=__doc__,
    schedule=defaults.daily_at("0 1 * * *"),
    params={"source": forms.source()},
    tags=["data", "daily"],
    **defaults.DAG,
):
    start_spark = spark_server("start", SESSION)
    stop_spark = spark_server("stop", SESSION).as_teardown(setups=start_spark)
    land_source = python_job("land_source", source=SOURCE)
    items, users = (checked_table(table, stop_spark) for table in ("core_items", "core_users"))
    # Events are compared with items and users. A catalogue that is refused costs no event: the next landing replaces the raw files.
    events = checked_table("core_events", stop_spark, trigger_rule="all_done_min_one_success")

    [land_source, start_spark] >> items
    [land_source, start_spark] >> users
    [items, users] >> events
    needed = {f"{table}.check_table": DONE for table in ("core_items", "core_users", "core_events")}
    events >> confirm_outcome(needed).as_teardown(on_failure_fail_dagrun=True)
