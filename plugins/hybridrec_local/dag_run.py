"""A DAG run followed from the command line: start, progress in one line, the cause of a failure, the result."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hybridrec.base import extensions
from hybridrec.base.settings import Settings
from hybridrec.base.waiting import first_true
from hybridrec.storage import store
from hybridrec.versions.publications import Target
from hybridrec_local.process import ROOT, environment
from hybridrec_local.rest import AirflowApi, Refused, TaskState

POLL_SECONDS = 1.5
FOLLOW_SECONDS = 3.0  # to tell of a night's tasks takes the API server 80 ms of the cores that the night works on
PARSE_SECONDS = 120.0
LOG_LINES = 20
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
DAILY = ("ingest", "nightly_retrain")
SWITCH_ON = "To switch it on, open Airflow (`make ui`) and turn on the switch beside each name, `ingest` and `nightly_retrain`."
NOT_RUNNING = f"Schedule: off. Airflow is stopped, so nothing starts by itself. {SWITCH_ON}"
Say = Callable[[str], None]


def run_dag(api: AirflowApi, dag_id: str, conf: dict[str, object], say: Say) -> bool:
    """Trigger a DAG, follow it to its end, leave it paused if it was; returns whether it succeeded."""
    was_paused = wait_for_dag(api, dag_id)
    api.pause(dag_id, False)
    try:
        try:
            run_id = api.trigger(dag_id, conf)
        except Refused as refusal:
            say(f"{dag_id} does not accept {conf}: {refusal}")
            return False
        return follow(api, dag_id, run_id, say)
    finally:
        if was_paused:
            api.pause(dag_id, True)


def wait_for_dag(api: AirflowApi, dag_id: str) -> bool:
    """Wait until Airflow has parsed a DAG; returns whether it is paused. RuntimeError tells why it cannot be parsed."""
    parsed = first_true(lambda: {one: paused for one, paused in api.dags().items() if one == dag_id}, PARSE_SECONDS, POLL_SECONDS)
    if not parsed:
        errors = "\n".join(api.import_errors()) or "Airflow names no error"
        raise RuntimeError(f"Airflow has no DAG {dag_id} after {PARSE_SECONDS:.0f} s:\n{errors}")
    return parsed[dag_id]


def follow(api: AirflowApi, dag_id: str, run_id: str, say: Say) -> bool:
    """Show a run's progress until it ends; an interrupt ends the run too."""
    started, last = time.monotonic(), ""
    try:
        while (state := api.state(dag_id, run_id)) not in ("success", "failed"):
            tasks = api.tasks(dag_id, run_id)
            line = progress(tasks)
            if line != last:
                say(f"{time.monotonic() - started:6.0f} s  {dag_id:<16} {line}")
            last = line
            time.sleep(FOLLOW_SECONDS)
    except (KeyboardInterrupt, SystemExit):
        api.fail(dag_id, run_id)
        raise
    tasks = api.tasks(dag_id, run_id)
    say(f"{time.monotonic() - started:6.0f} s  {dag_id:<16} {state}: {_counts(tasks)}")
    _show_failures(api, dag_id, run_id, tasks, say)
    return state == "success"


def progress(tasks: list[TaskState]) -> str:
    """Format finished and running tasks, as "7/34  train_model[als rank], train_model[als eval]"."""
    ended = sum(task.state in ENDED for task in tasks)
    now = ", ".join(f"{task.label}{_again(task)}" for task in tasks if task.state in ("running", "up_for_retry"))
    return f"{ended}/{len(tasks)}  {now}"


def _again(task: TaskState) -> str:
    return " (to be retried)" if task.state == "up_for_retry" else f" (attempt {task.try_number})" if task.try_number > 1 else ""


def _counts(tasks: list[TaskState]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(Counter(task.state for task in tasks).items()))


def _show_failures(api: AirflowApi, dag_id: str, run_id: str, tasks: list[TaskState], say: Say) -> None:
    for task in tasks:
        if task.state == "failed":
            say(f"--- {task.label} failed after {task.try_number} attempts; the end of its log:")
            for line in api.log(dag_id, run_id, task)[-LOG_LINES:]:
                say(f"    {line}")


def schedule_sentence(api: AirflowApi) -> str:
    """Return whether anything starts by itself in a running Airflow, and how to switch it on."""
    paused = {dag_id: wait_for_dag(api, dag_id) for dag_id in DAILY}
    slots = {dag_id: slot for dag_id, slot in api.slots().items() if dag_id in DAILY}
    if not slots:
        return (
            "Schedule: off. This Airflow was started with HYBRIDREC_SCHEDULE=off, as `make run` does, and starts nothing by itself."
            " To switch it on: `make stop`, then `make ui` without that variable."
        )
    if off := [f"{dag_id} ({slots[dag_id]} UTC)" for dag_id in slots if paused[dag_id]]:
        return f"Schedule: off. {' and '.join(off)}: paused, nothing starts by itself. {SWITCH_ON}"
    return f"Schedule: on. {' and '.join(f'{dag_id} ({slot} UTC)' for dag_id, slot in slots.items())} start by themselves."


def show_result(settings: Settings, user_id: str, say: Say) -> None:
    """Say which version is live, where the report is, and show one user's list: the first user's if none is named."""
    target = extensions.module("targets", settings.target).connect(settings)
    live = next((answer for answer in target.versions() if answer.state == "live"), None)
    if live is None:
        say("nothing is published yet")
        return
    counts = ", ".join(f"{count} {table}" for table, count in sorted(live.counts.items()) if count)
    say(f"\npublished version {live.version}: {counts}; content {live.content_hash[:16]}")
    say(f"report {_report(settings, live.run_id)}\n")
    command = [sys.executable, "-m", "jobs.lookup", f"--user-id={user_id or _first_user(target)}"]
    answer = subprocess.run(command, cwd=ROOT, env=environment(""), capture_output=True, text=True, check=False)
    say(answer.stdout if answer.returncode == 0 else answer.stderr)


def _first_user(target: Target) -> str:
    return str(next(iter(target.read_live("recommendations", ("user_id",))))["user_id"][0])


def _report(settings: Settings, run_id: str) -> Path | str:
    folder = settings.runs / run_id / "report"
    return store.committed_folder(folder) / "report.html" if store.is_committed(folder) else "was not written"
