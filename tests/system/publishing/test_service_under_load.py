"""The service under load for half a minute, while its file is replaced and locked."""

from __future__ import annotations

from pathlib import Path

from tests.support.service_load import replace_under_load


def test_half_a_minute_under_load_while_the_file_is_replaced_and_locked(home: Path, tmp_path: Path) -> None:
    replace_under_load(home, tmp_path, seconds=30.0)
