"""The README's commands, run as they are printed, and their output compared with the README's."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VARYING = (  # in this order: ids and paths hold numbers
    (r"\S*/report\\\.html|\bmanual_\w+|\b[0-9a-f]{16}\b|http://\S+", r"\\S+"),
    (r"[a-z_]+(?:\\\+[a-z_]+)+(?:\\ and\\ \d+\\ more)?", r"[a-z_+]+(?: and \\d+ more)?"),
    (r"\d+(?:(?:\\\.|,)\d+)*", r"\\d+(?:[.,]\\d+)*"),
    (r"(?:\\ )+", " +"),
)


def blocks() -> dict[str, list[str]]:
    """Read the output blocks by the command that the comment above each names."""
    found = re.findall(r"<!-- output of: (.+?) -->\n```text\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    return {command: text.splitlines() for command, text in found}


def require_same(expected: list[str], printed: list[str]) -> None:
    """Fail at the first line that was not printed in its turn; numbers, ids and paths may differ, `...` stands for any lines."""
    rest = iter(printed)
    for line in expected:
        if line.strip() in {"", "..."}:
            continue
        pattern = re.escape(line.strip())
        for part, wild in VARYING:
            pattern = re.sub(part, wild, pattern)
        assert any(re.fullmatch(pattern, one.strip()) for one in rest), f"the README shows {line!r}, which was not printed in its turn"


def test_another_night_of_the_same_form_is_accepted() -> None:
    shown = blocks()["make run"]
    require_same(shown, [re.sub(r"11-30t", "12-01t", line.replace("362 s", "5 s").replace("and 11 more", "and 9 more")) for line in shown])


@pytest.mark.parametrize(
    ("old", "new"), [("Trainspotting", "Alien"), ("success", "failed"), ("published version", "version"), ("score", "value")]
)
def test_another_word_is_noticed(old: str, new: str) -> None:
    shown = blocks()["make run"]
    with pytest.raises(AssertionError, match="the README shows"):
        require_same(shown, [line.replace(old, new) for line in shown])


@pytest.mark.system
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
