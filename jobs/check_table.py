"""Check the newest state of one core table with Great Expectations; an accepted one becomes the table. Brings the Data Docs up to date."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from hybridrec.base.config import read_config
from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.ingest import quality

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    source: str
    table: Literal["core_items", "core_users", "core_events"]
    accept_shrink: bool = False


def main(params: Params) -> None:
    settings = Settings.from_env()
    config = read_config(settings.home / "hybridrec.toml")
    if quality.is_checked(settings, params.source, params.table, config):
        log.info("%s: unchanged since the checkpoint before, which passed", params.table)
        quality.accept_checked(settings, params.source, params.table)
        return
    quality.check_table(settings, params.source, params.table, config, params.accept_shrink)


if __name__ == "__main__":
    job.start(main, Params)
