"""Land the look-up's log beside a source's delivery: what it holds beyond what earlier ingests have taken.

    raw/attempt-.../served/part-00000.parquet, .../feedback/part-00000.parquet   rows of whole lines
    raw/attempt-.../unreadable/part-00000.parquet                                texts that are no lines of ours, with a reason
    raw/attempt-.../feedback.json                                                the state of the log after them

The state becomes the source's own once core_events has been cleaned, so lines that a failed ingest had landed are landed again, and
what comes again is recognised by its id. Lines of a list that was made from another source's data are left to that source.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from hybridrec.base.settings import Settings
from hybridrec.feedback import reading
from hybridrec.feedback.lines import EVENTS, KINDS, SERVED
from hybridrec.feedback.reading import LogState, Portion, Taken
from hybridrec.storage import shared_files, store

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
SERVED_PART, EVENTS_PART, FOREIGN_PART, UNREADABLE_PART = "served", "feedback", "foreign", "unreadable"
PARTS = {SERVED: SERVED_PART, EVENTS: EVENTS_PART}
ALL_PARTS = (SERVED_PART, EVENTS_PART, FOREIGN_PART, UNREADABLE_PART)
RECORD, TAKEN = "feedback.json", "feedback_taken.json"


@dataclass(frozen=True)
class LandedLog:
    """The part of the log that a landing has taken.

    state: of the log after it. lines: taken, by kind. lost: lines by kind that ended processes had accepted and never written, since the
    last landing. torn: ends of files that are no whole lines. unreadable: lines that are none of ours.
    """

    state: LogState
    lines: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    torn: int = 0
    unreadable: int = 0


def land_log(settings: Settings, source: str, folder: Path) -> dict[str, str]:
    """Write what is new in the log into a landing's folder; returns a hash over each part, none if there is nothing new."""
    before = reading.remove_old(settings.served, taken_state(settings, source))
    ended = reading.ended_writers(settings.served)
    portions = reading.new_portions(settings.served, before)
    counts, lines, unreadable, writer = dict[str, Taken](), Counter[str](), 0, _Parts(settings, source, folder)
    for portion in portions:
        found = before.files.get(portion.name, Taken())
        for block in reading.blocks(portion):
            writer.write(portion, block)
            found = Taken(found.bytes, found.lines + block.n_lines)
            lines[portion.kind] += block.n_lines
            unreadable += len(block.refused)
        counts[portion.name] = Taken(portion.end + portion.torn, found.lines)
    state = reading.with_losses(settings.served, reading.advanced(before, counts), ended)
    lost = {kind: _sum(state, kind) - _sum(before, kind) for kind in KINDS}
    if not lines and state == taken_state(settings, source):
        return {}
    landed = LandedLog(state, dict(lines), lost, sum(portion.torn > 0 for portion in portions), unreadable)
    store.write_json(folder / RECORD, asdict(landed))
    log.info("landed the look-up's log: %s lines, lost %s, torn %d, unreadable %d", dict(lines), lost, landed.torn, unreadable)
    written = sorted(path.name for path in folder.iterdir() if path.name in ALL_PARTS)
    return {part: store.hash_files(folder / part) for part in written}


def landed_log(folder: Path) -> LandedLog | None:
    """Return what a landing has taken of the log; None for nothing."""
    path = folder / RECORD
    return TypeAdapter(LandedLog).validate_json(path.read_text()) if path.exists() else None


def taken_state(settings: Settings, source: str) -> LogState:
    """Return how much of the log the source's tables hold."""
    try:
        text = shared_files.read_text(settings.warehouse(source) / TAKEN)
    except FileNotFoundError:
        return LogState()
    return TypeAdapter(LogState).validate_json(text)


def keep_taken(settings: Settings, source: str, landed: LandedLog) -> None:
    """Make the log's state after a landing the source's own: the tables hold the lines now."""
    shared_files.write_text(settings.warehouse(source) / TAKEN, store.as_json(asdict(landed.state)))


def _sum(state: LogState, kind: str) -> int:
    return sum(lost[kind] for lost in state.lost.values())


class _Parts:
    """The files of a landing: a new one for each block."""

    def __init__(self, settings: Settings, source: str, folder: Path) -> None:
        self._settings, self._source, self._folder = settings, source, folder
        self._numbers, self._sources = Counter[str](), dict[str, str]()

    def write(self, portion: Portion, block: reading.Block) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = block.rows
        if portion.kind == SERVED:
            runs = [run_id for run_id in pc.unique(rows["run_id"]).to_pylist() if self._is_ours(run_id)]
            ours = pc.is_in(rows["run_id"], pa.array(runs, pa.string()))
            self._add(FOREIGN_PART, rows.filter(pc.invert(ours)).select(["recommendation_id"]))
            rows = rows.filter(ours)
        self._add(PARTS[portion.kind], rows.append_column("source_file", pa.repeat(portion.name, rows.num_rows)))
        reasons, texts = zip(*block.refused, strict=True) if block.refused else ((), ())
        names = [portion.name] * len(reasons)
        self._add(UNREADABLE_PART, pa.table({"reason": list(reasons), "row": list(texts), "source_file": names}))

    def _add(self, part: str, rows: pa.Table) -> None:
        import pyarrow.parquet as pq

        if rows.num_rows:
            (self._folder / part).mkdir(exist_ok=True)
            pq.write_table(rows, self._folder / part / f"part-{self._numbers[part]:05d}.parquet", compression="zstd")
            self._numbers[part] += 1

    def _is_ours(self, run_id: str) -> bool:
        """Return whether a run made its lists from this source's data; a run that is gone, or not of this home, may have."""
        if run_id not in self._sources:
            self._sources[run_id] = self._source_of(run_id)
        return self._sources[run_id] in ("", self._source)

    def _source_of(self, run_id: str) -> str:
        from hybridrec.runs.run import MANIFEST, RUN_ID

        if not RUN_ID.fullmatch(run_id) or ".." in run_id:
            return ""
        try:
            return str(json.loads(shared_files.read_text(self._settings.runs / run_id / MANIFEST))["source"])
        except (OSError, ValueError, KeyError):
            return ""
