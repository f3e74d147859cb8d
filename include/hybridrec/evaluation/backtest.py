"""A backtest: the same night judged at several points in time, so that one lucky window does not decide.

Its origins are runs of their own, beside the run that gathers them; see hybridrec.offline.origin for how they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.runs.run import MANIFEST, Run
from hybridrec.storage import shared_files, store
from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa

ALL_CANDIDATES = ("@pool", "@100")  # metrics that are not of a list


def origin_id(run_id: str, number: int) -> str:
    """Return the id of the run of an origin; 1 is the newest."""
    return f"{run_id}.origin-{number}"


def judged_origins(backtest: Run) -> list[Run]:
    """Return the runs of the origins that have been judged, the oldest first; PermanentError when there is none."""
    folder, begin = backtest.settings.runs, origin_id(backtest.run_id, 0).removesuffix("0")
    opened = [name for name in shared_files.children(folder) if name.startswith(begin) and shared_files.modified(folder / name / MANIFEST)]
    runs = [Run.open(name, backtest.settings) for name in opened]
    judged = [run for run in runs if store.is_committed(run.dataset("out_metrics"))]
    if not judged:
        raise PermanentError(f"backtest {backtest.run_id}: no origin has been judged; look at the failed judge_origin tasks, clear them")
    return sorted(judged, key=lambda run: run.manifest.as_of)


def origin_rows(origins: list[Run], k: int) -> pa.Table:
    """Return out_backtest: the origins' out_metrics of lists of k, and of the candidates."""
    import pyarrow as pa

    parts = []
    for run in origins:
        metrics = run.read("out_metrics")
        kept = [name.endswith((f"@{k}", *ALL_CANDIDATES)) for name in metrics["metric"].to_pylist()]
        part = metrics.filter(pa.array(kept))
        parts.append(part.append_column("as_of", pa.array([run.manifest.as_of] * part.num_rows, pa.timestamp("us", tz="UTC"))))
    return table("out_backtest").conform(pa.concat_tables(parts))
