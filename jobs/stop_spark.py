"""Stop the night's Spark Connect server and note its peak memory; does nothing if none runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.base.settings import Settings
from hybridrec.execution import job, spark
from hybridrec.storage import shared_files, store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    session: str


def main(params: Params) -> None:
    settings = Settings.from_env()
    peak = spark.stop_server(settings, params.session)
    log.info("Spark Connect server %s stopped; it and its workers peaked at %.0f MiB", params.session, peak)
    if peak and shared_files.children(settings.runs / params.session):
        shared_files.write_text(settings.runs / params.session / "spark_server.json", store.as_json({"peak_mib": peak}))


if __name__ == "__main__":
    job.start(main, Params)
