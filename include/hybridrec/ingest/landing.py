"""Raw data: what a source gave, when, in one committed dataset per source.

warehouse/<source>/raw/attempt-.../landing.json
warehouse/<source>/raw/attempt-.../events/*.parquet
warehouse/<source>/raw/attempt-.../served/*.parquet   see hybridrec.feedback.landing
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.feedback.landing import land_log
from hybridrec.sources import PARTS
from hybridrec.storage import store

log = logging.getLogger(__name__)
RECORD = "landing.json"


@dataclass(frozen=True)
class Landing:
    """One delivery of a source.

    landed_at: when it arrived; a later event_at is in the future. folder: the committed attempt.
    content: a hash over the files of events, of items and of users, whenever they arrive, and of what is new in the look-up's log.
    """

    source: str
    seed: int
    landed_at: datetime
    folder: Path
    content: dict[str, str]

    def files(self, part: str) -> list[Path]:
        """Return the raw Parquet files of events, items or users, sorted; empty when the source has none."""
        return sorted((self.folder / part).glob("*.parquet"))


def land(settings: Settings, source: str, seed: int, landed_at: datetime) -> Landing:
    """Let a source write its raw data and commit it with a record of the landing; PermanentError when there are no events."""
    module = extensions.module("sources", source)
    with store.staged(raw_folder(settings, source)) as folder:
        module.land(settings, folder, seed)
        if not any((folder / "events").glob("*.parquet")):
            raise PermanentError(f"source {source}: it wrote no events; expected Parquet files in events/")
        content = {part: store.hash_files(folder / part) for part in PARTS} | land_log(settings, source, folder)
        record = {"source": source, "seed": seed, "landed_at": landed_at.isoformat(), "content": content}
        store.write_json(folder / RECORD, record)
    landing = read_landing(settings, source)
    log.info("landed %s: %s", source, {part: count_rows(landing.files(part)) for part in PARTS})
    return landing


def read_landing(settings: Settings, source: str) -> Landing:
    """Return the newest committed delivery of a source."""
    try:
        folder = store.committed_folder(raw_folder(settings, source))
    except store.NotCommitted:
        raise PermanentError(f"source {source}: nothing has landed; run python -m jobs.land_source --source {source} first") from None
    record = json.loads((folder / RECORD).read_text())
    landed_at = datetime.fromisoformat(record["landed_at"])
    return Landing(record["source"], record["seed"], landed_at, folder, record.get("content", {}))


def raw_folder(settings: Settings, source: str) -> Path:
    """Return the dataset of a source's raw data."""
    return settings.warehouse(source) / "raw"


def count_rows(files: list[Path]) -> int:
    """Return rows of Parquet files, from their footers."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in files)
