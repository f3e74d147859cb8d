"""A night over a folder of data, without a scheduler: search, fit, rank, judge, and write every user's list.

    python -m jobs.benchmark --data DIR --out DIR --k 300 --split time

DIR holds events (user_id, item_id, and event_at, event_type, rating where known) and perhaps items and users, as Parquet,
CSV or JSON lines. They are read and judged as ingest does it: the weight of an event follows from its event_type; without one it is a
rating if it has one, else a purchase; items that only events name are added to the catalogue. --split says
what is known of time: `time` a calendar, `last_per_user` the order of a user's events, `random_per_user` nothing. Writes
recommendations.parquet (user_id, item_id, rank, score, reason; every user in events, nothing that the user has had),
candidates_<retriever>.parquet, report.html and report.json; the run with all its tables stays under out/home.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from hybridrec.base.config import SplitMethod
from hybridrec.execution import job
from hybridrec.offline.offline_night import Night

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Params:
    data: Path
    out: Path
    split: SplitMethod
    k: int = 300


def main(params: Params) -> None:
    os.environ["HYBRIDREC_HOME"] = str(params.out.absolute() / "home")
    os.environ.pop("HYBRIDREC_STORAGE", None)  # everything stays under --out
    Night(params.data, params.out, params.split, params.k).run()


if __name__ == "__main__":
    job.start(main, Params)
