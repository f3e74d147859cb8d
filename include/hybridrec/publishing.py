"""Put a run's tables before readers: which version, which rows, and when it is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hybridrec import store
from hybridrec.errors import BadData
from hybridrec.run import Run
from hybridrec.targets import PUBLISHED, Publication, Target

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 10_000


def version_of(run_id: str) -> str:
    """The version that a run publishes: always the same, readable, and safe as part of a table's name."""
    readable = re.sub(r"[^a-z0-9]+", "_", run_id.lower()).strip("_")[:24]
    return f"{readable}_{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def live_publication(versions: list[Publication]) -> Publication | None:
    """The live one of a target's versions, None when nothing is live."""
    return next((publication for publication in versions if publication.state == "live"), None)


def publish_run(run: Run, target: Target, generated_at: datetime) -> Publication:
    """Stage, check and switch to the run's version; publishing a live version again changes nothing.

    BadData when check_output has not passed on exactly these rows, or when the run's version was live and has been
    replaced since.
    """
    verdict = _passed_checks(run)
    version = version_of(run.run_id)
    known = {publication.version: publication for publication in target.versions()}
    if version in known and known[version].state == "kept":
        live = live_publication(list(known.values()))
        raise BadData(
            f"run {run.run_id}: its version {version} was live and has been replaced by {live.version if live else 'none'};"
            f" to go back to it: python -m jobs.rollback_publication --version {version}"
        )
    counts = {name: store.read_manifest(run.dataset(f"out_{name}")).rows for name in PUBLISHED}
    publication = Publication(
        version=version,
        run_id=run.run_id,
        source=run.manifest.source,
        as_of=run.manifest.as_of,
        model_version=model_version(run),
        generated_at=generated_at,
        valid_until=generated_at + timedelta(days=run.config.valid_days),
        counts=counts,
        content_hash="",
        state="staged",
        notes=verdict,
    )
    staged = target.stage(publication, published_tables(run))
    target.check(version)
    target.switch_to(version, run.config.keep_versions)
    return staged


def published_tables(run: Run) -> Mapping[str, Iterator[pa.RecordBatch]]:
    """The rows of every published table in the order of its key, a batch at a time."""
    return {name: _batches(run, f"out_{name}") for name in PUBLISHED}


def output_hashes(run: Run) -> dict[str, str]:
    """Content hashes of the run's output tables: what check_output has judged is what publish_table may publish."""
    return {name: store.read_manifest(run.dataset(f"out_{name}")).content_hash for name in PUBLISHED}


def model_version(run: Run) -> str:
    """The registered version that the run's gate decided on; "unregistered" for a run without that step."""
    if not store.is_committed(run.dataset("promotion")):
        return "unregistered"
    return str(json.loads((run.artefact("promotion") / "promotion.json").read_text())["model_version"])


def roll_back(target: Target, version: str | None, keep: int) -> tuple[Publication, Publication]:
    """Make a kept version live: the one named, or the newest one before the live. Returns what was live and what is."""
    versions = target.versions()
    live = live_publication(versions)
    if live is None:
        raise BadData("nothing is live, so there is nothing to roll back; run the DAG nightly_retrain")
    chosen = _named(versions, version) if version else _newest_before(versions, live)
    if chosen.version == live.version:
        raise BadData(f"version {live.version} is live already; {_choices(versions)}")
    target.check(chosen.version)
    target.switch_to(chosen.version, keep)
    return live, chosen


def _batches(run: Run, name: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for path in run.files(name):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)


def _passed_checks(run: Run) -> str:
    """Notes of the output checks; BadData unless they passed, or a person overrode them, on the tables as they are."""
    if not store.is_committed(run.dataset("output_checks")):
        raise BadData(f"run {run.run_id}: its tables are not checked; run python -m jobs.check_output --run-id {run.run_id}")
    verdict = json.loads((run.artefact("output_checks") / "checks.json").read_text())
    if verdict["tables"] != output_hashes(run):
        raise BadData(f"run {run.run_id}: its tables have changed since check_output; run it again")
    if verdict["passed"]:
        return ""
    if not verdict["override_reason"]:
        failed = [check["name"] for check in verdict["checks"] if not check["passed"]]
        raise BadData(f"run {run.run_id}: check_output failed on {', '.join(failed)}; the live version stays")
    return f"override: {verdict['override_reason']}"


def _named(versions: list[Publication], version: str) -> Publication:
    found = [publication for publication in versions if publication.version == version]
    if not found or found[0].state not in ("kept", "live"):
        raise BadData(f"version {version!r} cannot be rolled back to; {_choices(versions)}")
    return found[0]


def _newest_before(versions: list[Publication], live: Publication) -> Publication:
    older = versions[versions.index(live) + 1 :]
    kept = [publication for publication in older if publication.state == "kept"]
    if not kept:
        raise BadData(f"no version older than the live {live.version} is kept; {_choices(versions)}")
    return kept[0]


def _choices(versions: list[Publication]) -> str:
    kept = [f"{p.version} (run {p.run_id}, made {p.generated_at:%Y-%m-%d %H:%M})" for p in versions if p.state == "kept"]
    return f"kept versions: {', '.join(kept) or 'none'}"
