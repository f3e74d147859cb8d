"""Runs the DAGs' jobs without a scheduler: one after the other, or killed somewhere and run again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from hybridrec.settings import Settings
from hybridrec.spark import stop_server
from hybridrec_airflow.process import ROOT, environment
from hybridrec_airflow.steps import Step, steps

STEP_SECONDS = 240
NO_JAVA = {"JAVA_HOME": "/there/is/none"}  # a job that needs no Spark must not need a JVM


def start(step: Step, home: Path) -> subprocess.Popen[str]:
    """Start a step's job as the leader of its own process group; its output goes to a file beside the run."""
    log = home / "logs" / f"{step.task}.log"
    log.parent.mkdir(exist_ok=True)
    values = environment(step.session) | ({} if step.session or step.job == "start_spark" else NO_JAVA)
    with log.open("a") as out:
        return subprocess.Popen(step.command, cwd=ROOT, env=values, stdout=out, stderr=out, text=True, start_new_session=True)


def run(step: Step, home: Path) -> int:
    """Run a step to its end; returns its exit code."""
    return start(step, home).wait(timeout=STEP_SECONDS)


def run_killed(step: Step, home: Path, after_seconds: float) -> bool:
    """Run a step and SIGKILL its whole group after so many seconds, sooner if it has ended by then; False if it always has."""
    for seconds in (after_seconds, after_seconds / 2, after_seconds / 4):
        process = start(step, home)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
    return False


def run_dag(dag_id: str, run_id: str, params: dict[str, object], home: Path) -> dict[str, float]:
    """Run all steps of a DAG; returns seconds by task. An exit code that is not 0 fails with the end of the log."""
    seconds = {}
    todo = steps(dag_id, run_id, params)
    try:
        for step in todo:
            started = time.monotonic()
            code = run(step, home)
            seconds[step.task] = time.monotonic() - started
            assert code == 0, f"{step.task} exited with {code}:\n{tail(step, home)}"
    finally:
        for session in {step.session for step in todo if step.session}:
            stop_server(Settings.from_env(), session)
    return seconds


def tail(step: Step, home: Path) -> str:
    """The last lines that a step has printed."""
    return "\n".join((home / "logs" / f"{step.task}.log").read_text().splitlines()[-15:])
