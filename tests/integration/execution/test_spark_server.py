"""Jobs share one Spark server, and a dead one is replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from hybridrec.base.settings import Settings
from hybridrec.base.waiting import first_true
from hybridrec.execution import spark
from hybridrec.execution.spark import running_server, start_server, stop_server, stop_servers

START = """
from hybridrec.base.settings import Settings
from hybridrec.execution.spark import start_server
print(start_server(Settings.from_env(), "t").pid)
"""


def test_jobs_that_ask_at_once_share_one_server_and_a_dead_one_is_replaced(home: Path) -> None:
    settings = Settings.from_env()
    try:
        both = [subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        pids = {int(process.communicate(timeout=120)[0]) for process in both}
        assert len(pids) == 1
        maps = Path(f"/proc/{next(iter(pids))}/maps").read_text()
        assert (spark.class_archive().name in maps) == spark.class_archive().exists(), "made at installation, used by every server"
        os.killpg(pids.pop(), signal.SIGKILL)
        # a process of this size takes its time to die, and listens meanwhile
        assert first_true(lambda: not running_server(settings, "t"), 30, every=0.05)
        replaced = start_server(settings, "t")
        assert running_server(settings, "t") == replaced
        command = psutil.Process(replaced.pid).cmdline()
        assert f"-Djava.io.tmpdir={home}/spark/t.tmp" in command, "below /tmp others could make its folders before it"
        assert list((home / "spark" / "t.tmp").iterdir())
        state = home / "spark" / "t.json"
        assert state.stat().st_mode & 0o777 == 0o600
        known = json.loads(state.read_text())
        assert known.pop("token") == replaced.token
        state.write_text(json.dumps(known))  # as an earlier version has left it, whose server takes anybody's Python
        assert len(start_server(settings, "t").token) >= 32
        assert not psutil.pid_exists(replaced.pid) or psutil.Process(replaced.pid).status() == psutil.STATUS_ZOMBIE
        assert spark.server_peak_mib(settings, "t") > 100
    finally:
        n_stopped = stop_servers(settings)  # as `make stop` does
    assert n_stopped == 1
    assert running_server(settings, "t") is None
    assert not (home / "spark" / "t.tmp").exists()
    assert stop_server(settings, "t") == 0.0
