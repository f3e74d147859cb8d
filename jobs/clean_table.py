"""Clean one core table of a source; refused rows go to its quarantine table with a reason each."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from hybridrec.base.config import read_config
from hybridrec.base.settings import Settings
from hybridrec.execution import spark
from hybridrec.execution.job import start
from hybridrec.execution.task_records import spark_time
from hybridrec.ingest.clean import clean_table, is_clean

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    source: str
    table: Literal["core_items", "core_users", "core_events"]


def main(params: Params) -> None:
    settings = Settings.from_env()
    config = read_config(settings.home / "hybridrec.toml")
    if is_clean(settings, params.source, params.table, config):
        log.info("%s: unchanged: the same raw files, options and code as the last time", params.table)
        return
    session = spark.session()
    with spark_time():
        clean_table(session, settings, params.source, params.table, config)


if __name__ == "__main__":
    start(main, Params)
