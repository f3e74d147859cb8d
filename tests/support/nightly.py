"""Runs the DAGs' jobs without a scheduler: in sequence, or killed somewhere and run again."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from hybridrec.base.settings import Settings
from hybridrec.execution import command_line
from hybridrec.execution.spark import stop_server
from hybridrec_airflow.steps import Step, steps
from hybridrec_local.process import ROOT, environment

STEP_SECONDS = 240
Launch = Callable[[Step, Path], int]
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


def run_here(step: Step, home: Path) -> int:
    """Run a step in this process, with the session of the tests: a small job takes longer to import and to start Spark than to do."""
    module = importlib.import_module(f"jobs.{step.job}")
    module.main(command_line.parse(module.Params, list(step.command[3:])))  # after the interpreter, -m and the module
    return 0


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


@dataclass(frozen=True)
class ByHand:
    """Runs of DAGs without a scheduler: all jobs but those left out, in sequence, on one Spark server."""

    run_id: str
    params: dict[str, object]
    left_out: Container[str]
    launch: Launch = run

    def run(self, home: Path, *dag_ids: str) -> None:
        """Run the DAGs. An exit code that is not 0 fails with the end of the log."""
        todo = [step for dag_id in dag_ids for step in steps(dag_id, self.run_id, self.params) if step.job not in self.left_out]
        try:
            for step in todo:
                code = self.launch(step, home)
                assert code == 0, f"{step.task} exited with {code}:\n{tail(step, home)}"
        finally:
            for session in {step.session for step in todo if step.session}:
                stop_server(Settings.from_env(), session)


def tail(step: Step, home: Path) -> str:
    """Return the last lines that a step has printed."""
    return "\n".join((home / "logs" / f"{step.task}.log").read_text().splitlines()[-15:])
