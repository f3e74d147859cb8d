"""Run the README's commands as they are printed and compare what they print with the README."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tests.support import ROOT
from tests.support.readme_output import blocks, require_same


def test_the_commands_print_what_the_readme_shows(tmp_path: Path) -> None:
    environment = os.environ | {
        "HYBRIDREC_HOME": str(tmp_path / "var"),
        "HYBRIDREC_AIRFLOW_PORT": "18480",
        "HYBRIDREC_MLFLOW_PORT": "18481",
    }
    made = subprocess.run(["make", "run"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3600, check=False)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    shown = blocks()
    require_same(shown["make run"], made.stdout.splitlines())
    first, second, *rows = shown["sqlite3 var/published/recommendations.db"]
    _, _, query = shlex.split(first.removeprefix("$ ").rstrip("\\") + second)
    with closing(sqlite3.connect(tmp_path / "var" / "published" / "recommendations.db")) as database:
        require_same(rows, ["|".join(map(str, row)) for row in database.execute(query)])
