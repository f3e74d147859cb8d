"""README's commands, from nothing: the whole night, then all that reads it, with what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import readme
from tests.support.documented_commands import difference
from tests.support.serving import free_port


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """Provide ports of this test's own."""
    return {f"HYBRIDREC_{name}_PORT": str(free_port()) for name in ("AIRFLOW", "MLFLOW")}


def test_a_night_from_nothing_prints_what_readme_shows(tmp_path: Path, own: dict[str, str]) -> None:
    home = tmp_path / "var"
    (night,) = readme.whole_night()
    told = readme.run(night.line, home, **own).replace(str(home), "var")
    assert night.output is None or not difference(night.output, told)
    assert readme.differences(home, same_night=True) == []
