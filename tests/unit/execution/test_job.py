"""A job's command line, its exit codes and what it prints when it fails."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.execution import command_line, job, task_records
from hybridrec.storage import store
from jobs import train_model
from tests.support import small_world


@dataclass(frozen=True)
class Params:
    run_id: str
    models: tuple[str, ...] = ()
    k: int | None = None
    publish: bool = True
    split: Literal["ranker", "full"] = "full"


def test_params_are_the_command_line() -> None:
    assert command_line.parse(Params, ["--run-id", "r"]) == Params("r")
    argv = ["--run-id", "r", "--models", "als, content", "--k", "5", "--no-publish", "--split", "ranker"]
    assert command_line.parse(Params, argv) == Params("r", ("als", "content"), 5, False, "ranker")


@pytest.mark.parametrize("argv", [["--fold", "rank"], ["--fold=ranker"], ["--split", "rank"], ["--split=ranker"]])
def test_former_names_of_a_flag_and_its_values_are_taken(argv: list[str]) -> None:
    params = command_line.parse(train_model.Params, ["--run-id", "r", "--model", "als", *argv])
    assert params == train_model.Params("r", "als", "ranker")


@pytest.mark.parametrize(
    "argv", [[], ["--run", "r"], ["--run-id", "r", "--k", "x"], ["--run-id", "r", "--split", "x"], ["--run-id", "r", "x"]]
)
def test_a_wrong_command_line_exits_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command_line.parse(Params, argv)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (PermanentError("core_items: 3 rows repeat item_id"), 3, "PermanentError in toy: core_items: 3 rows repeat item_id"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "no space left for /x; free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "no permission for /x; give this user the right"),
        (ValueError("odd"), 1, "ValueError: .*odd.*may be retried"),
        (
            ValueError("An error occurred while calling o7.x.\n: java.E: disk is full\n\tat x"),
            1,
            "ValueError: java.E: disk is full; it may",
        ),
        (job.Skip("publish is off"), 4, ""),
    ],
)
def test_every_failure_ends_in_its_code_and_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], error: Exception, code: int, message: str
) -> None:
    def main(params: Params) -> None:
        raise error

    assert job._run(main, Params("r"), "toy") == code
    printed = capsys.readouterr().err.strip().splitlines()
    if message:
        import re

        assert re.search(message, printed[-1])


def test_a_job_from_a_shell_leaves_a_record_of_its_cost(home: Path) -> None:
    small_world.write_core_tables()
    command = [sys.executable, "-m", "jobs.open_run", "--run-id", "night", "--source", "files", "--k", "5"]
    subprocess.run(command, check=True, capture_output=True)
    (record,) = task_records.read_records(home / "runs" / "night")
    assert (record.job, record.state) == ("open_run", "done")
    assert 0 < record.startup_seconds < record.wall_seconds
    assert 20 < record.peak_mib < 4096


def test_a_failed_job_leaves_its_last_line_and_its_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "runs" / "r").mkdir(parents=True)
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "nightly_retrain")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "manual__2026-01-31T02:00:00+00:00")
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "train_model")
    monkeypatch.setenv("AIRFLOW_CTX_MAP_INDEX", "7")

    def main(params: Params) -> None:
        raise PermanentError("k is -1, expected 1 to 200")

    assert job._run(main, Params("r"), "toy") == 3
    (record,) = task_records.read_records(home / "runs" / "r")
    assert (record.state, record.said) == ("bad_data", "PermanentError in toy: k is -1, expected 1 to 200")
    assert record.page == "/dags/nightly_retrain/runs/manual__2026-01-31T02%3A00%3A00%2B00%3A00/tasks/train_model/mapped/7"
    assert job._run(lambda _: None, Params("r"), "toy") == 0
    (record,) = task_records.read_records(home / "runs" / "r")
    assert (record.state, record.said) == ("done", "")


def test_a_killed_job_leaves_a_record_that_it_began(home: Path) -> None:
    (home / "runs" / "r").mkdir(parents=True)
    code = (
        "import os, signal; from tests.unit.execution.test_job import Params; from hybridrec.execution import job;"
        "job._run(lambda _: os.kill(os.getpid(), signal.SIGKILL), Params('r'), 'toy')"
    )
    path = os.pathsep.join(sys.path)
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ | {"PYTHONPATH": path}).returncode == -signal.SIGKILL
    (record,) = task_records.read_records(home / "runs" / "r")
    assert (record.job, record.state) == ("toy", "running") and record.started_at > 0


def test_a_record_keeps_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "planted-e06b1c3f9a")
    monkeypatch.setenv("HYBRIDREC_HOME", "/a/home/of/ours")
    text = "failed: planted-e06b1c3f9a in postgresql://me:other-secret@host:5432/db below /a/home/of/ours"
    assert task_records.without_secrets(text) == "failed: *** in postgresql://me:***@host:5432/db below /a/home/of/ours"


def test_a_record_of_an_earlier_release_is_read(home: Path) -> None:
    store.write_json(home / "runs" / "r" / "tasks" / "toy.json", {"job": "toy", "part": "", "state": "failed"})
    (record,) = task_records.read_records(home / "runs" / "r")
    assert (record.state, record.said, record.page) == ("failed", "", "")


def test_a_refused_request_exits_3_and_says_why(home: Path) -> None:
    command = [sys.executable, "-m", "jobs.open_run", "--run-id", "night", "--source", "files", "--k", "-1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert "PermanentError in open_run: k is -1, expected 1 to 200" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_attempt_waits_for_the_end_of_the_first(home: Path) -> None:
    (home / "runs" / "r").mkdir(parents=True)
    order: list[str] = []
    first_is_in, both_are_there = threading.Event(), threading.Event()

    def first(params: Params) -> None:
        first_is_in.set()
        both_are_there.wait(10)
        order.append("first")

    attempts = [threading.Thread(target=job._run, args=(first, Params("r"), "toy"))]
    attempts[0].start()
    assert first_is_in.wait(10)
    attempts.append(threading.Thread(target=job._run, args=(lambda _: order.append("second"), Params("r"), "toy")))
    attempts[1].start()
    attempts[1].join(0.3)
    assert order == []
    both_are_there.set()
    for attempt in attempts:
        attempt.join(10)
    assert order == ["first", "second"]


def test_a_submitted_job_ends_with_the_task_that_started_it() -> None:
    code = "import time; from hybridrec.execution import job; job._end_with_task(); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen(["sleep", "60"]) as task:
        environment = os.environ | {job.TASK_VARIABLE: str(task.pid)}
        with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as submitted:
            assert submitted.stdout and submitted.stdout.readline() == "up\n"
            task.kill()
            task.wait()
            assert submitted.wait(10) == 1
