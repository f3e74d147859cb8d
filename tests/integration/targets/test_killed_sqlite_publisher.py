"""A publisher that is killed leaves a whole version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import PUBLISHED
from tests.support import ROOT
from tests.support.published_rows import publish
from tests.support.sqlite_tables import KILLED, stored_tables


@pytest.fixture
def target(tmp_path: Path) -> SqliteTarget:
    return SqliteTarget(tmp_path / "published" / "recommendations.db")


def child(path: Path, statement: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.publish_and_die", str(path), str(statement)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_a_publisher_killed_anywhere_leaves_a_whole_version(tmp_path: Path) -> None:
    undisturbed = SqliteTarget(tmp_path / "undisturbed.db")
    publish(undisturbed, "v1", "one")
    total = int(child(undisturbed.path, 0).stdout)
    expected = undisturbed.versions()[0].content_hash
    for number, statement in enumerate(range(3, total + 1, max(total // 10, 1))):
        target = SqliteTarget(tmp_path / f"killed{number}.db")
        publish(target, "v1", "one")
        assert child(target.path, statement).returncode == KILLED
        answer = target.read_user("u00049")
        assert answer is not None
        assert (answer.version, len(answer.entries)) in (("v1", 5), ("v2", 5))
        assert child(target.path, 0).returncode == 0, "the rerun"
        assert target.versions()[0].content_hash == expected
        after = target.read_user("u00049")
        assert after is not None
        assert after.version == "v2"
        assert len(stored_tables(target)) == 2 * len(PUBLISHED)
        target.close()
