"""Nights that Airflow dates, with few models and lists as long as the option says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.scheduler import Stack
K = 7
PUBLICATIONS = "SELECT version, state, content_hash FROM publications ORDER BY number"


@pytest.fixture(scope="module")
def k_is_an_option(stack: Stack, first_night: str) -> Iterator[None]:
    """Let hybridrec.toml say how long lists are for runs whose form does not."""
    toml = stack.installation.settings.home / "hybridrec.toml"
    before = toml.read_text()
    toml.write_text(f"[night]\nk = {K}\n{before}")
    yield
    toml.write_text(before)


def manifest_of(stack: Stack, run_id: str) -> dict[str, Any]:
    """Return what a run was opened with."""
    return dict(json.loads((stack.installation.settings.runs / stack.file_safe(run_id) / "run.json").read_text()))
