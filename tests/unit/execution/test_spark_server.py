"""Java is looked for with a remedy; the night's Connect server is one, comes back when it died, and goes when told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.execution import spark
from hybridrec.execution.spark import require_java


def test_no_java_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(PermanentError, match=r"no Java found.*apt-get install openjdk-17-jre-headless"):
        require_java()


def test_an_old_java_is_refused_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(PermanentError, match=r"java is 11: .*Java 17 or newer"):
        require_java()


@pytest.mark.parametrize(("memory", "thorough"), [("2g", False), ("900m", False), ("4g", True), ("16G", True)])
def test_a_large_server_compiles_thoroughly(memory: str, thorough: bool) -> None:
    assert ("TieredStopAtLevel" not in spark._sized(memory)["spark.driver.extraJavaOptions"]) == thorough
