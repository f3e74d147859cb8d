"""A missing part of a new machine is named in one sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

INSTALL = ROOT / ".ci" / "install"


def run_install(folder: Path, tools: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a copy of the install script in a folder where only the given tools and the plainest ones exist."""
    (folder / ".ci").mkdir()
    (folder / "bin").mkdir()
    (folder / ".ci" / "install").write_text(INSTALL.read_text().replace("/usr/bin/python3.11", "python3.11"))
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).write_text("")
    for name in ("dirname", "sed", "grep", "cat", "sha256sum", "cut", "uname", "wc", "rm", "touch"):
        (folder / "bin" / name).symlink_to(Path("/usr/bin") / name)
    for name, text in tools.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    command = ["/bin/bash", str(folder / ".ci" / "install")]
    return subprocess.run(command, env={"PATH": str(folder / "bin")}, capture_output=True, text=True, check=False)


JAVA_17 = "echo 'openjdk version \"17.0.15\"' >&2"
LIBGOMP = "echo libgomp.so.1"


def test_another_python_is_refused_with_the_package(tmp_path: Path) -> None:
    tools = {"id": "echo 1000", "java": JAVA_17, "ldconfig": LIBGOMP, "python3": '[ "$1" = --version ] && echo Python 3.9.2; exit 1'}
    done = run_install(tmp_path, tools)
    assert done.returncode == 1
    assert "needs Python 3.11 with venv; this machine's python3 is Python 3.9.2. Install python3.11" in done.stderr


@pytest.mark.parametrize("java", ["echo 'openjdk version \"11.0.2\"' >&2", "exit 127"])
def test_java_that_cannot_be_installed_is_named(tmp_path: Path, java: str) -> None:
    done = run_install(tmp_path, {"id": "echo 1000", "java": java, "ldconfig": LIBGOMP})
    assert done.returncode == 1
    assert "only an administrator can install: openjdk-17-jre-headless" in done.stderr


def test_an_administrator_gets_the_missing_packages(tmp_path: Path) -> None:
    tools = {
        "id": "echo 0",
        "java": "exit 127",
        "ldconfig": LIBGOMP,
        "env": 'echo "$@"',
        "apt-get": 'echo "apt-get $@"',
        "python3": "exit 1",
    }
    done = run_install(tmp_path, tools)
    assert "installing openjdk-17-jre-headless" in done.stdout
    assert "apt-get update" in done.stdout


VENV_WHOSE_PIP_FAILS = """
case "$*" in *venv\\ .venv)
    PATH=/usr/bin:/bin
    mkdir -p .venv/bin
    printf '#!/bin/sh\\necho no route to host >&2; exit 1' > .venv/bin/python
    chmod +x .venv/bin/python
esac
"""


def test_no_network_says_what_is_needed(tmp_path: Path) -> None:
    tools = {"id": "echo 1000", "java": JAVA_17, "ldconfig": LIBGOMP, "python3.11": VENV_WHOSE_PIP_FAILS}
    done = run_install(tmp_path, tools)
    assert done.returncode == 1
    assert "no route to host" in done.stderr
    assert "it needs the network (or PIP_INDEX_URL of a mirror) and 3 GB" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / ".venv").glob(".installed-*")), "the next attempt installs"


def test_no_network_for_system_packages(tmp_path: Path) -> None:
    done = run_install(tmp_path, {"id": "echo 0", "java": "exit 127", "ldconfig": LIBGOMP, "apt-get": "exit 100"})
    assert done.returncode == 1
    assert "apt-get could not install openjdk-17-jre-headless" in done.stderr


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    full = """case "$*" in *venv\\ .venv) echo "[Errno 28] No space left on device" >&2; exit 1;; esac"""
    done = run_install(tmp_path, {"id": "echo 1000", "java": JAVA_17, "ldconfig": LIBGOMP, "python3.11": full})
    assert done.returncode == 1
    assert f"in {tmp_path}/.venv: see above; it needs the right to write there and 3 GB" in done.stderr.splitlines()[-1]
