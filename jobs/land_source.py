"""Take in a source's data as it comes, with the time of its arrival; nothing is cleaned yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from hybridrec.base.config import read_config
from hybridrec.base.settings import Settings
from hybridrec.execution import job
from hybridrec.ingest import landing


@dataclass(frozen=True)
class Params:
    source: str


def main(params: Params) -> None:
    settings = Settings.from_env()
    seed = read_config(settings.home / "hybridrec.toml").seed
    # the one place where ingest looks at the clock: what lies after it is in the future
    landing.land(settings, params.source, seed, datetime.now(UTC))


if __name__ == "__main__":
    job.start(main, Params)
