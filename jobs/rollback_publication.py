"""Make an earlier published version live again: the one named, or the newest kept one before the live one."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec import job, lookup, publishing
from hybridrec.config import read_config
from hybridrec.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    version: str | None = None


def main(params: Params) -> None:
    settings = Settings.from_env()
    keep = read_config(settings.home / "hybridrec.toml").keep_versions
    before, after = publishing.roll_back(lookup.open_target(settings), params.version, keep)
    log.info("version %s (run %s) is live again instead of %s (run %s)", after.version, after.run_id, before.version, before.run_id)


if __name__ == "__main__":
    job.start(main, Params)
