"""Keep a record of each attempt at a job beside its run: time, memory, outcome, and the last line of an error without secrets."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hybridrec.base.errors import PermanentError, explain_os_error
from hybridrec.base.settings import Settings
from hybridrec.runs.run import run_folder
from hybridrec.storage import shared_files, store

# Facts about a task that Airflow and our operators give to its process.
MAP_INDEX = "AIRFLOW_CTX_MAP_INDEX"
CONTEXT = ("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TASK_ID", MAP_INDEX)
SECRET_NAME = re.compile(r"PASS(WORD|WD|PHRASE)?$|SECRET|TOKEN|_KEY$|CREDENTIAL")
IN_ADDRESS = re.compile(r"(://[^\s:/@]*):[^\s@]+@")
log = logging.getLogger("hybridrec")


@dataclass
class TaskRecord:
    """Cost of one attempt at a job: seconds of wall and CPU time, MiB at the peak of resident memory.

    startup_seconds: from process start to main, interpreter and imports. spark_seconds: spent waiting for Spark.
    alarm_seconds: spent on leak alarms, in Spark or not.
    state: done, skipped, bad_data or failed; running until then, and for good if the process was killed.
    said: the last line of what a failed attempt said, secrets masked. page: path of the task in Airflow's pages, empty from a shell.
    """

    job: str
    part: str
    state: str = "running"
    said: str = ""
    page: str = ""
    started_at: float = 0.0
    startup_seconds: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    spark_seconds: float = 0.0
    alarm_seconds: float = 0.0
    peak_mib: float = 0.0


current = TaskRecord("", "")  # of this process


@contextmanager
def spark_time() -> Iterator[None]:
    """Count the seconds of the block as time spent in Spark."""
    started = time.perf_counter()
    try:
        yield
    finally:
        current.spark_seconds += time.perf_counter() - started


@contextmanager
def alarm_time() -> Iterator[None]:
    """Count the seconds of the block as time spent on leak alarms."""
    started = time.perf_counter()
    try:
        yield
    finally:
        current.alarm_seconds += time.perf_counter() - started


def read_records(folder: Path) -> list[TaskRecord]:
    """Return the task records below a run's or a warehouse's folder, in the order of their start."""
    names = [name for name in shared_files.children(folder / "tasks") if name.endswith(".json")]
    records = [TaskRecord(**json.loads(shared_files.read_text(folder / "tasks" / name))) for name in names]
    return sorted(records, key=lambda record: record.started_at)


def write_record(values: dict[str, Any]) -> None:
    """Write the record of this process's task beside its run, if there is one."""
    path = task_file(values, "json")
    try:
        if path and shared_files.children(path.parent.parent):
            shared_files.write_text(path, store.as_json(asdict(current)))
    except (OSError, PermanentError) as error:  # the record is a courtesy: it must not turn a success into a failure
        log.warning("no task record: %s", explain_os_error(error) if isinstance(error, OSError) else error)


def task_file(values: dict[str, Any], suffix: str) -> Path | None:
    """Return a file of this task below its run or its source's warehouse; None for a job that belongs to neither."""
    settings = Settings.from_env()
    name = f"{current.job}.{current.part}" if current.part else current.job
    if "run_id" in values:
        return run_folder(settings, values["run_id"]) / "tasks" / f"{name}.{suffix}"
    return settings.warehouse(values["source"]) / "tasks" / f"{name}.{suffix}" if values.get("source") else None


def without_secrets(text: str) -> str:
    """Replace by *** the value of each environment variable named like a secret, and passwords in addresses."""
    values = {value for name, value in os.environ.items() if SECRET_NAME.search(name) and len(value) >= 6}
    for value in sorted(values, key=len, reverse=True):  # one may hold another
        text = text.replace(value, "***")
    return IN_ADDRESS.sub(r"\1:***@", text)


def airflow_page() -> str:
    """Return the path of this task's page, which shows its log, on the server of Airflow's pages; empty for a job from a shell."""
    dag, run, task, index = (os.environ.get(name, "") for name in CONTEXT)
    if not (dag and run and task):
        return ""
    mapped = f"/mapped/{index}" if index.isdigit() else ""
    return f"/dags/{quote(dag, safe='')}/runs/{quote(run, safe='')}/tasks/{quote(task, safe='')}{mapped}"
