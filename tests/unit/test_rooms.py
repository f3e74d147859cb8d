"""Imports run one way: dags -> plugins -> hybridrec <- jobs, and down the rooms of the library; `make lint` is red otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

MODULES, LINES = 12, 400  # a room's limit, extension folders apart, and a file's
EXTENSIONS = ("bandits", "estimators", "models", "objectives", "rules", "sources", "strategies", "tables", "targets")
MEMBERS = (*EXTENSIONS, "deep/networks")
CODE = ("include", "plugins", "jobs", "dags")
PLANTED = {
    "include/hybridrec/base/sly.py": (
        "def f():\n    from hybridrec.storage import store\n",
        "hybridrec.base is not allowed to import hybridrec.storage",
    ),
    "include/hybridrec/attic/__init__.py": ('"""A new room."""\n', "hybridrec.attic"),
    "include/hybridrec/runs/sly.py": ("def f():\n    import airflow\n", "hybridrec is not allowed to import airflow"),
    "include/hybridrec/base/tested.py": ("import tests.conftest\n", "hybridrec is not allowed to import tests"),
    "jobs/sly.py": ("from hybridrec_airflow import forms\n", "jobs is not allowed to import hybridrec_airflow"),
    "plugins/hybridrec_local/sly.py": (
        "from hybridrec_airflow import forms\n",
        "hybridrec_local is not allowed to import hybridrec_airflow",
    ),
    "plugins/hybridrec_airflow/sly.py": ("def f():\n    import jobs.open_run as j\n", "jobs.open_run"),
    "dags/sly.py": ("def f():\n    from jobs import open_run\n", "jobs.open_run"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the code that the contracts are about, and the contracts."""
    root = tmp_path_factory.mktemp("rooms")
    for folder in CODE:
        shutil.copytree(
            ROOT / folder, root / folder, ignore=lambda _, names: [name for name in names if Path(name).suffix not in ("", ".py")]
        )
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    return root


def test_no_import_runs_upward(copy: Path) -> None:
    code, said = lint(copy)
    assert code == 0, said


@pytest.mark.parametrize("path", PLANTED)
def test_an_import_that_runs_upward_is_seen(path: str, copy: Path) -> None:
    text, expected = PLANTED[path]
    planted = copy / path
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(text)
    try:
        code, said = lint(copy)
    finally:
        planted.unlink()
        if path.endswith("__init__.py"):
            planted.parent.rmdir()
    assert code == 1, said
    assert expected in said


def test_a_circle_is_seen(copy: Path) -> None:
    (copy / "include/hybridrec/base/one.py").write_text("def f():\n    from hybridrec.base import two\n")
    (copy / "include/hybridrec/base/two.py").write_text("from hybridrec.base import one\n")
    try:
        code, said = lint(copy)
    finally:
        for name in ("one", "two"):
            (copy / f"include/hybridrec/base/{name}.py").unlink()
    assert code == 1
    assert "No cycles are allowed in hybridrec.base" in said


def test_a_room_can_be_read_in_one_sitting() -> None:
    folders = {path.parent for path in (ROOT / "include/hybridrec").rglob("*.py")} - {ROOT / "include/hybridrec" / name for name in MEMBERS}
    sizes = {folder: len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) for folder in folders}
    assert {folder.name: n for folder, n in sizes.items() if n > MODULES} == {}
    lines = {path.name: len(path.read_text().splitlines()) for folder in CODE for path in (ROOT / folder).rglob("*.py")}
    assert {name: n for name, n in lines.items() if n > LINES} == {}


def test_make_lint_checks_the_imports() -> None:
    assert "\n\t.venv/bin/lint-imports --no-logo\n" in (ROOT / "Makefile").read_text()


def lint(root: Path) -> tuple[int, str]:
    """Exit code and output of import-linter over a copy of the code."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root / "include", root / "plugins", root))), "COLUMNS": "200"}
    command = [ROOT / ".venv/bin/lint-imports", "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)  # type: ignore[arg-type]
    return done.returncode, done.stdout + done.stderr
