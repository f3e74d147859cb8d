"""Imports point one way: dags -> plugins -> hybridrec <- jobs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support import ROOT

FORBIDDEN = {
    "include": {"airflow", "hybridrec_airflow", "jobs", "dags", "tests"},
    "jobs": {"airflow", "hybridrec_airflow", "dags", "tests"},
    "plugins": {"jobs", "dags", "tests"},
    "dags": {"jobs", "tests"},
}


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_nothing_from_above(layer: str) -> None:
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    wrong = [f"{path.relative_to(ROOT)} imports {name}" for path in files for name in imported(path) & FORBIDDEN[layer]]
    assert wrong == []


def test_imports_inside_functions_count(tmp_path: Path) -> None:
    path = tmp_path / "sly.py"
    path.write_text("def f():\n    from airflow.sdk import dag\n    import jobs.open_run as j\n    import_module = None\n")
    assert imported(path) == {"airflow", "jobs"}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names
