"""README's commands and queries do on the home of a night what the page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import readme

if TYPE_CHECKING:
    from tests.support.scheduler import Stack


def test_what_reads_a_night_prints_what_readme_shows(stack: Stack, first_night: str) -> None:
    assert readme.differences(stack.installation.settings.home, same_night=False) == []
