"""Start the Spark Connect server that the Spark jobs of this night share; does nothing where it runs already."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hybridrec.base.settings import Settings
from hybridrec.execution import job, spark

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    session: str


def main(params: Params) -> None:
    spark.require_java()
    server = spark.start_server(Settings.from_env(), params.session)
    log.info("Spark Connect server %s listens on %s, process %d", params.session, server.url, server.pid)


if __name__ == "__main__":
    job.start(main, Params)
