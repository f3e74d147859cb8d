"""Services: secrets stay private, foreign processes are left alone, what is in the way is named."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from hybridrec.base.settings import Settings
from hybridrec.targets.sqlite import SqliteTarget
from tests.support.plain_user import as_a_plain_user
from tests.support.published_rows import publish
from tests.support.serving import free_port

if TYPE_CHECKING:
    from hybridrec_local.installation import Installation


@pytest.fixture
def installation(home: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    from hybridrec_local.installation import Installation

    monkeypatch.setenv("HYBRIDREC_AIRFLOW_PORT", "18999")
    return Installation.from_env()


def test_secrets_are_made_once_and_only_this_user_reads_them(installation: Installation) -> None:
    installation.write()
    secrets, password = (installation.home / "secrets.json").read_text(), installation.password("admin")
    installation.write()
    assert (installation.home / "secrets.json").read_text() == secrets
    assert installation.password("admin") == password != installation.password("viewer")
    assert len(json.loads(secrets)["jwt"]) >= 64
    for name in ("secrets.json", "passwords.json", "airflow.cfg"):
        assert (installation.home / name).stat().st_mode & 0o777 == 0o600
    inherited = "".join(installation.environment().values())
    assert json.loads(secrets)["jwt"] not in inherited and password not in inherited


def test_settings_survive_a_percent_sign(installation: Installation) -> None:
    from hybridrec_local.installation import _render

    assert "key = 100%% sure" in _render({"section": {"key": "100% sure"}})


def test_a_taken_port_is_named_with_its_holder_and_the_way_out(installation: Installation) -> None:
    from hybridrec_local.daemon import CannotStart
    from hybridrec_local.services import start_services

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        busy = type(installation)(installation.settings, port, 0)
        with pytest.raises(CannotStart, match=rf"port {port}.*process {os.getpid()} .*HYBRIDREC_AIRFLOW_PORT"):
            start_services(busy, ["api-server"])


@pytest.fixture
def no_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide a machine on which no port is taken."""
    for name in ("AIRFLOW", "MLFLOW"):
        monkeypatch.setenv(f"HYBRIDREC_{name}_PORT", str(free_port()))


def test_a_home_that_cannot_be_made_is_one_sentence(
    home: Path, no_ports: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hybridrec_local.services import main

    monkeypatch.setenv("HYBRIDREC_HOME", str(home / "mine"))
    home.chmod(0o555)
    with as_a_plain_user(home):
        assert main(["up"]) == 1
    home.chmod(0o755)
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"no permission for {home / 'mine'}; give this user the right to write there or move HYBRIDREC_HOME"


def test_a_full_disk_is_one_sentence(
    home: Path, no_ports: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hybridrec_local import services

    def fail(installation: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(home))

    monkeypatch.setattr(services.Installation, "write", fail)  # type: ignore[attr-defined]  # a full disk needs a mount
    assert services.main(["up"]) == 1
    assert "free some space or move HYBRIDREC_HOME" in capsys.readouterr().out


def test_mlflow_keeps_its_temporary_files_from_other_users(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens files with known names in that folder: a link of another user would decide which of ours it empties."""
    from hybridrec_local.services import Service

    folders: dict[str, str | None] = {}
    monkeypatch.setattr(
        "hybridrec_local.daemon.Daemon.start", lambda daemon, _, environment: folders.update({daemon.name: environment.get("TMPDIR")})
    )
    monkeypatch.delenv("TMPDIR", raising=False)
    for name in ("api-server", "mlflow"):
        Service(name, installation).start()
    assert folders == {"api-server": None, "mlflow": str(installation.settings.home / "mlflow" / "scratch")}
    assert Path(str(folders["mlflow"])).stat().st_mode & 0o777 == 0o700


def test_a_recycled_process_id_is_not_ours(installation: Installation) -> None:
    from hybridrec_local.services import Service, stop_services

    service = Service("scheduler", installation).daemon
    installation.write()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        service.pid_file.write_text(json.dumps({"pid": stranger.pid, "started_at": 1.0}))
        assert service.process() is None
        assert stop_services(installation) == []
        assert stranger.poll() is None
        stranger.kill()
    assert not service.pid_file.exists()


def test_stopping_ends_the_whole_family() -> None:
    from hybridrec_local.daemon import stop_process

    sleep = "import time; time.sleep(600)"
    code = f"""
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", {sleep!r}], start_new_session=True).pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        stop_process(psutil.Process(parent.pid))
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_progress_is_one_line() -> None:
    from hybridrec_local.dag_run import progress
    from hybridrec_local.rest import TaskState

    tasks = [
        TaskState("open_run", -1, "open_run", "success", 1),
        TaskState("train_model", 0, "train_model[als ranker]", "running", 2),
        TaskState("evaluate", -1, "evaluate", "up_for_retry", 1),
        TaskState("publish_table", -1, "publish_table", "waiting", 0),
    ]
    assert progress(tasks) == "1/4  train_model[als ranker] (attempt 2), evaluate (to be retried)"


@pytest.mark.parametrize(
    ("paused", "slots", "said"),
    [
        ({"ingest": True, "nightly_retrain": True}, {}, "Schedule: off. This Airflow was started with HYBRIDREC_SCHEDULE=off"),
        (
            {"ingest": False, "nightly_retrain": True},
            {"ingest": "0 1 * * *", "nightly_retrain": "0 2 * * *"},
            "Schedule: off. nightly_retrain (0 2 * * * UTC): paused, nothing starts by itself. To switch it on, open Airflow (`make ui`)",
        ),
        (
            {"ingest": False, "nightly_retrain": False},
            {"ingest": "0 1 * * *", "nightly_retrain": "0 2 * * *"},
            "Schedule: on. ingest (0 1 * * * UTC) and nightly_retrain (0 2 * * * UTC) start by themselves.",
        ),
    ],
)
def test_make_ui_says_whether_anything_starts_by_itself(
    paused: dict[str, bool], slots: dict[str, str], said: str, airflow_home: Path
) -> None:
    from hybridrec_local.dag_run import schedule_sentence

    api = SimpleNamespace(dags=lambda: paused, slots=lambda: slots)  # the answers of a server; the slow tests ask a real one
    assert schedule_sentence(api).startswith(said)  # type: ignore[arg-type]


def test_make_run_says_that_the_schedule_is_off_when_airflow_is_stopped(installation: Installation) -> None:
    from hybridrec_local.services import _schedule

    assert _schedule(installation) == (
        "Schedule: off. Airflow is stopped, so nothing starts by itself. To switch it on, open Airflow (`make ui`) and turn on the switch"
        " beside each name, `ingest` and `nightly_retrain`."
    )


def test_a_late_night_leaves_a_line(home: Path) -> None:
    from hybridrec_airflow.deadlines import note_missed_deadline

    note_missed_deadline(4.0, {"dag_run": {"dag_id": "nightly_retrain", "dag_run_id": "r1"}})
    note_missed_deadline(4.0)
    lines = (home / "airflow" / "missed_deadlines.log").read_text().splitlines()
    assert lines[0] == "nightly_retrain r1: not done 4 hours after it was queued"
    assert len(lines) == 2


def test_the_result_shows_the_first_users_list_whatever_the_source(home: Path) -> None:
    from hybridrec_local.dag_run import show_result

    publish(SqliteTarget(home / "published" / "recommendations.db"), "v1", "one")
    lines: list[str] = []
    show_result(Settings.from_env(), "", lines.append)
    assert any(line.startswith("Recommendations for user u00000\n") for line in lines), lines
