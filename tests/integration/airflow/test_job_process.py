"""A job as a child process: flags, environment, outcome, end."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from hybridrec.base.waiting import first_true
from hybridrec_local.process import JobProcess, environment, flag_arguments, tell_map_index


def test_flags_become_a_command_line() -> None:
    flags = {"run_id": "r", "k": 5, "publish": "False", "quick": True, "models": ["als", "content"], "as_of": "None", "note": "", "x": None}
    assert flag_arguments(flags) == ["--run-id=r", "--k=5", "--no-publish", "--quick", "--models=als,content"]  # type: ignore[arg-type]


def test_a_value_that_looks_like_a_flag_stays_a_value() -> None:
    assert flag_arguments({"source": "--publish", "k": -1}) == ["--source=--publish", "--k=-1"]


def test_a_job_gets_no_secrets_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "secret")
    monkeypatch.setenv("AIRFLOW_CONN_SPARK", "spark://user:password@host")
    monkeypatch.setenv("HYBRIDREC_TARGET", "sqlite")
    found = environment("night-1")
    assert not [key for key in found if key.startswith("AIRFLOW")]
    assert (found["HYBRIDREC_TARGET"], found["HYBRIDREC_SPARK_SESSION"]) == ("sqlite", "night-1")
    assert "HYBRIDREC_SPARK_SESSION" not in environment("") or "HYBRIDREC_SPARK_SESSION" in os.environ


def test_a_job_knows_which_task_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DAG_ID", "nightly_retrain"), ("DAG_RUN_ID", "manual__1"), ("TASK_ID", "train_model"), ("DAG_EMAIL", "me@here")):
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    monkeypatch.setenv("AIRFLOW_CTX_MAP_INDEX", "")
    tell_map_index({"ti": SimpleNamespace(map_index=4)})
    found = {key: value for key, value in environment("").items() if key.startswith("AIRFLOW")}
    assert found == {
        "AIRFLOW_CTX_DAG_ID": "nightly_retrain",
        "AIRFLOW_CTX_DAG_RUN_ID": "manual__1",
        "AIRFLOW_CTX_TASK_ID": "train_model",
        "AIRFLOW_CTX_MAP_INDEX": "4",
    }


def test_output_is_passed_on_and_the_exit_code_returned() -> None:
    lines: list[str] = []
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr); sys.exit(3)"
    process = JobProcess([sys.executable, "-c", code])
    assert process.wait(lines.append) == 3
    assert lines == ["one", "two"] == list(process.tail)


def test_stop_ends_a_job_that_ignores_being_asked_and_its_children() -> None:
    code = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
print(child.pid, flush=True)
time.sleep(600)
"""
    process, lines = JobProcess([sys.executable, "-c", code]), list[str]()
    ended: list[int] = []
    reader = threading.Thread(target=lambda: ended.append(process.wait(lines.append)))
    reader.start()
    _wait_for(lambda: len(lines) == 2)
    process.stop()
    reader.join(10)
    assert ended == [-9]
    child = next(int(line) for line in lines if line.isdigit())
    _wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is signalled by Linux only")
def test_a_job_ends_with_the_task_that_started_it() -> None:
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from hybridrec_local.process import JobProcess
job = JobProcess([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"])
job.wait(lambda line: print(line, flush=True))
"""
    import subprocess

    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as task:
        assert task.stdout is not None
        job = psutil.Process(int(task.stdout.readline()))
        task.kill()
    _wait_for(lambda: not job.is_running() or job.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize(
    ("code", "outcome", "said"),
    [
        (2, "JobRefused", "refuses its command line"),
        (3, "JobRefused", "refuses its input"),
        (4, "AirflowSkipException", "nothing to publish"),
        (1, "JobFailed", "exit code 1"),
        (-9, "JobFailed", "signal 9"),
    ],
)
def test_the_exit_code_decides_about_the_retry(code: int, outcome: str, said: str, airflow_home: Path) -> None:
    from airflow.sdk import RetryAction

    from hybridrec_airflow.outcomes import RETRY_POLICY, raise_for_exit_code

    with pytest.raises(Exception, match=said) as raised:
        raise_for_exit_code("train_model", code, ["the cause", "nothing to publish"])
    assert type(raised.value).__name__ == outcome
    assert "nothing to publish" in str(raised.value)
    expected = {"JobRefused": RetryAction.FAIL, "JobFailed": RetryAction.RETRY, "AirflowSkipException": RetryAction.DEFAULT}
    assert RETRY_POLICY.evaluate(raised.value, 1, 3).action == expected[outcome]


def test_success_raises_nothing(airflow_home: Path) -> None:
    from hybridrec_airflow.outcomes import raise_for_exit_code

    raise_for_exit_code("train_model", 0, [])


def test_an_operator_runs_its_job_and_names_the_cause(home: Path, airflow_home: Path) -> None:
    from hybridrec_airflow.operators import JobOperator
    from hybridrec_airflow.outcomes import JobRefused

    task = JobOperator(task_id="stop", job="stop_spark", flags={"session": "../elsewhere"})
    with pytest.raises(JobRefused, match=r"Spark session name '\.\./elsewhere'"):
        task.execute({})


def _wait_for(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    assert first_true(happened, seconds, every=0.05), "it did not happen"
