"""A real night and the pages of `make ui`, attacked by another user of the same machine, who gets nothing."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support import ROOT
from tests.support.another_user import as_another_user, count_lists, reach, read_files, run_python_in_spark, write_through_mlflow
from tests.support.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.scheduler import Stack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NAME = "attacked"
TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"


@dataclass(frozen=True)
class Spark:
    """The night's Spark server, as its task has started it."""

    pid: int
    port: int
    token: str


@pytest.fixture(scope="module")
def home(stack: Stack, first_night: str) -> Path:
    """Provide all files of the night. Their folder in the tests is open, so each file must protect itself."""
    folder = stack.installation.settings.home
    for parent in folder.parents:
        if Path("/tmp") in parent.parents:
            parent.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def spark_server(home: Path) -> Iterator[Spark]:
    """Provide the running server of the task start_spark."""
    _run_job(home, "start_spark", "--session", NAME)
    state = json.loads((home / "spark" / f"{NAME}.json").read_text())
    yield Spark(state["pid"], state["port"], state.get("token", ""))
    _run_job(home, "stop_spark", "--session", NAME)


def _run_job(home: Path, name: str, *flags: str, **variables: str) -> None:
    environment = dict(os.environ) | {"HYBRIDREC_HOME": str(home)} | variables
    subprocess.run([sys.executable, "-m", f"jobs.{name}", *flags], cwd=ROOT, env=environment, check=True, timeout=200, capture_output=True)


@pytest.mark.parametrize("token", ["", "guessed"])
def test_nobody_runs_python_through_spark(token: str, spark_server: Spark) -> None:
    said = as_another_user(run_python_in_spark, f"sc://localhost:{spark_server.port}", environment={TOKEN: token} if token else {})
    assert "UNAUTHENTICATED" in said, said


def test_the_token_opens_spark_and_lies_in_one_private_file(spark_server: Spark, home: Path) -> None:
    """With the token the same attack succeeds, so the token has stopped it; the attacker cannot find it."""
    said = as_another_user(run_python_in_spark, f"sc://localhost:{spark_server.port}", environment={TOKEN: spark_server.token})
    assert said == "ran as 0"
    holders = [path for path in (home / "spark").rglob("*") if path.is_file() and spark_server.token.encode() in path.read_bytes()]
    assert holders == [home / "spark" / f"{NAME}.json"]
    assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600
    assert not any(spark_server.token in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def test_spark_talks_on_none_of_its_ports_without_its_secret(spark_server: Spark) -> None:
    """The driver and its block manager unpack Java objects of every admitted client."""
    others = [port for _, port in _listening(spark_server.pid) if port != spark_server.port]
    assert len(others) >= 2
    for port in others:
        assert b"java.io" not in (said := _rpc(port)), "it has begun to unpack what came"
        assert b"Sasl" in said or said.endswith(b"err"), said  # the second: Python's workers, to a wrong secret


def _rpc(port: int) -> bytes:
    """Return the answer to a Spark RPC frame of a few letters, up to the end or three seconds of silence."""
    import socket
    import struct

    message = struct.pack(">BQI", 3, 1, 5) + b"hello"
    with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
        connection.sendall(struct.pack(">Q", 8 + len(message)) + message)
        said = b""
        with suppress(OSError):
            while part := connection.recv(4096):
                said += part
    return said


def test_nobody_writes_through_mlflow(stack: Stack, first_night: str, tmp_path: Path) -> None:
    """Neither a stranger, who is asked for a login, nor a user with one."""
    folder = tmp_path / "dags"
    folder.mkdir()
    assert as_another_user(write_through_mlflow, stack.installation.mlflow_url, str(folder)) == [401, 401, 401]
    assert list(folder.iterdir()) == []
    for user in ("admin", "viewer"):
        body = {"name": user, "artifact_location": folder.as_uri()}
        assert _answer(f"{stack.installation.mlflow_url}/api/2.0/mlflow/experiments/create", _basic(stack, user), body)[0] == 403
    status, found = _answer(
        f"{stack.installation.mlflow_url}/api/2.0/mlflow/experiments/search", _basic(stack, "viewer"), {"max_results": 9}
    )
    assert status == 200
    assert {"hybridrec"} <= {experiment["name"] for experiment in json.loads(found)["experiments"]} <= {"Default", "hybridrec"}


def test_nothing_listens_beyond_this_machine(stack: Stack, spark_server: Spark) -> None:
    from hybridrec_local.services import STOP_ORDER, Service

    services = [Service(name, stack.installation).daemon.process() for name in STOP_ORDER]
    places = [place for service in services if service for place in _listening(service.pid)] + _listening(spark_server.pid)
    ports = {port for _, port in places}
    assert {stack.installation.airflow_port, stack.installation.mlflow_port, spark_server.port} <= ports
    assert {address for address, _ in places} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    outside = [found.address for links in psutil.net_if_addrs().values() for found in links if _is_outside(found)]
    assert as_another_user(reach, [("127.0.0.1", port) for port in sorted(ports)]), "here they are reached"
    assert as_another_user(reach, [(address, port) for address in outside for port in sorted(ports)]) == []


def _is_outside(found: Any) -> bool:
    """Return whether it is an IP address that other machines can reach; a link-local one needs its interface's name besides."""
    if found.family.name not in ("AF_INET", "AF_INET6"):
        return False
    return not found.address.startswith(("127.", "fe80:")) and found.address != "::1"


def _listening(pid: int) -> list[tuple[str, int]]:
    """Return addresses and ports at which a process or one that it has started listens."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    found = []
    for member in family:
        with suppress(psutil.NoSuchProcess):
            found += [(used.laddr.ip, used.laddr.port) for used in member.net_connections() if used.status == psutil.CONN_LISTEN]
    return found


def test_nobody_reads_a_file_of_the_night(home: Path, spark_server: Spark, tmp_path: Path) -> None:
    files = [str(path) for path in home.rglob("*") if path.is_file()]
    assert len(files) > 500
    (open_file := tmp_path / "open").write_text("x")
    open_file.chmod(0o644)
    _open_way(tmp_path)
    assert as_another_user(read_files, [str(open_file), *files]) == [str(open_file)]


def test_every_file_of_the_night_is_private_by_itself(stack: Stack, home: Path, spark_server: Spark) -> None:
    """Made so by jobs, by Airflow, by Spark and by the services, not only hidden by the folder above."""
    rights = stack.rights | {path: path.lstat().st_mode for path in (home / "spark").rglob("*")}
    ours = [path for path, mode in rights.items() if not stat.S_ISLNK(mode) and path != home / "hybridrec.toml"]  # which the tests write
    assert len(ours) > 500
    assert [f"{path} {stat.S_IMODE(rights[path]):o}" for path in sorted(ours) if rights[path] & 0o077] == []


def test_published_tables_are_read_by_others_if_the_option_says_so(home: Path) -> None:
    file = home / "published" / "recommendations.db"
    assert as_another_user(count_lists, str(file)) == -1
    _run_job(home, "lookup", "--user-id", "196", HYBRIDREC_PUBLISHED_READABLE="on")
    try:
        assert as_another_user(count_lists, str(file)) == 943
        others = [str(path) for path in home.rglob("*") if path.is_file() and file.parent not in path.parents]
        assert as_another_user(read_files, others) == []
    finally:
        _run_job(home, "lookup", "--user-id", "196", HYBRIDREC_PUBLISHED_READABLE="off")
    assert as_another_user(count_lists, str(file)) == -1


def _open_way(folder: Path) -> None:
    for place in (folder, *folder.parents):
        if Path("/tmp") in place.parents:
            place.chmod(0o755)


def test_a_foreign_name_gets_no_page(stack: Stack, first_night: str) -> None:
    installation = stack.installation
    login = _basic(stack, "viewer")
    for page in (f"{installation.airflow_url}/hybridrec/", f"{installation.airflow_url}/api/v2/monitor/health", installation.mlflow_url):
        for name, expected in (("rebound.example", 400), ("localhost", None), ("127.0.0.1:1", None)):
            status, _ = _answer(page, login | {"Host": name, "Accept": "application/json"})
            assert (status == 400) == (expected == 400), (page, name, status)


def _basic(stack: Stack, user: str) -> dict[str, str]:
    login = f"{user}:{stack.installation.password(user)}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _answer(address: str, headers: dict[str, str], body: dict[str, Any] | None = None) -> tuple[int, bytes]:
    from hybridrec_local.rest import DIRECT

    answer = DIRECT.request("GET" if body is None else "POST", address, json=body, headers=headers)
    return answer.status_code, answer.content


def test_a_browser_goes_by_the_login_to_pages_that_it_can_draw(stack: Stack, first_night: str) -> None:
    """Report, Data Docs and MLflow, as a user who may only look: their own headers forbid no part of them."""
    installation = stack.installation
    run = stack.file_safe(first_night)
    pages = f"{installation.airflow_url}/hybridrec"
    login = {"username": "viewer", "password": installation.password("viewer")}
    with chromium() as program:
        window = program.new_page(http_credentials=login)  # type: ignore[arg-type]
        said: list[str] = []
        window.on("console", lambda message: said.append(message.text))
        window.goto(f"{pages}/reports/{run}")
        window.wait_for_url("**/auth/login?next=*")
        for name, value in login.items():
            window.fill(f"input[name={name}]", value)
        said.clear()
        window.keyboard.press("Enter")
        window.wait_for_url(f"**/hybridrec/reports/{run}")
        assert _is_drawn(window) and window.locator("svg").count()
        window.goto(f"{pages}/docs/")
        assert _is_drawn(window)
        assert not [text for text in said if "Content Security Policy" in text]
        window.goto(f"{pages}/mlflow/{run}")
        window.get_by_text(run).first.wait_for()


def _is_drawn(window: Page) -> bool:
    """Return whether the page's own styles hold: without them a browser draws its text in letters with serifs."""
    font = window.evaluate("getComputedStyle(document.body).fontFamily")
    return "sans-serif" in font or "system-ui" in font
