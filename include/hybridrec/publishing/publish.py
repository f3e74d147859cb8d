"""Put a run's tables before readers: which version, which rows, and when it is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.publishing import interventions
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.versions.publications import BESIDE_LISTS, PUBLISHED, Publication, Target

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 10_000
BACKFILL = "backfill"  # begins the notes of a backfill's version
HELD = "held.txt"
LIFT = "lift the hold with the DAG rollback_publication, or python -m jobs.rollback_publication --action lift_hold --reason WHY"
PUBLISHED_ONCE = ("live", "kept")


class Held(Exception):
    """A person keeps runs from publishing; the message says who, when, why, and how to end it."""


def version_of(run_id: str) -> str:
    """Return the version that a run publishes: always the same, readable, and safe as part of a table's name."""
    readable = re.sub(r"[^a-z0-9]+", "_", run_id.lower()).strip("_")[:24]
    return f"{readable}_{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def live_publication(versions: list[Publication]) -> Publication | None:
    """Return the live one of a target's versions, None when nothing is live."""
    return next((publication for publication in versions if publication.state == "live"), None)


def is_older(run: Run, live: Publication) -> bool:
    """Return whether the run sees fewer events of the same source than the live version."""
    return live.source == run.manifest.source and run.manifest.as_of < live.as_of


def publish_run(run: Run, target: Target, generated_at: datetime) -> Publication:
    """Stage, check and switch to the run's version; publishing a live version again changes nothing.

    PermanentError when check_output has not passed on exactly these rows, when the run's version was live and has been replaced
    since, or if the run sees fewer events than the live version and no person has asked for that. Held while a person holds publications.
    """
    verdict = _passed_checks(run)
    version = version_of(run.run_id)
    _require_replaceable(run, target.versions(), wanted=bool(verdict))
    _require_not_held(run, target)
    counts = {name: store.read_manifest(run.dataset(f"out_{name}")).rows if _is_made(run, name) else 0 for name in PUBLISHED}
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
    _require_not_held(run, target)  # to stage may have taken minutes
    target.switch_to(version, newest_to_keep(target.versions(), run.config.keep_versions, version))
    return staged


def newest_to_keep(versions: list[Publication], keep: int, switched_to: str) -> int:
    """Return the number of newest stored versions to keep, so that a rollback can reach `keep` nights back.

    Versions that were never live, and those of a backfill, do not count: they stay as long as an older night does, and displace none.
    """
    stored = [publication for publication in versions if publication.state != "dropped"]
    nights = 0
    for number, publication in enumerate(stored, start=1):
        was_live = publication.state in PUBLISHED_ONCE or publication.version == switched_to
        nights += was_live and not publication.notes.startswith(BACKFILL)
        if nights == keep:
            return number
    return max(len(stored), 1)


def confirm_outcome(run: Run, target: Target) -> str:
    """Say how the run has ended; PermanentError unless it has published, was held, or was not meant to publish."""
    version = version_of(run.run_id)
    if not run.manifest.publish:
        _passed_checks(run)
        return "it was not to publish, and its tables passed their checks; the live version stays live"
    state = {publication.version: publication.state for publication in target.versions()}.get(version)
    if state in PUBLISHED_ONCE:
        return f"version {version} is live" if state == "live" else f"version {version} was live and has been replaced since"
    if sentence := why_held(run):
        return sentence
    raise PermanentError(
        f"run {run.run_id} has published nothing, although its publishing was on; the live version stays live."
        " The first failed task's log has the reason; fix it and clear that task with downstream"
    )


def note_held(run: Run, sentence: str) -> None:
    """Keep with the run why it was kept from publishing."""
    with run.staged("held") as folder:
        (folder / HELD).write_text(sentence)


def why_held(run: Run) -> str:
    """Return the person, time and reason of the hold that kept the run from publishing; empty without one."""
    return (run.artefact("held") / HELD).read_text() if store.is_committed(run.dataset("held")) else ""


def published_tables(run: Run) -> Mapping[str, Iterator[pa.RecordBatch]]:
    """Return the rows of every published table in the order of its key, a batch at a time."""
    return {name: _batches(run, f"out_{name}") if _is_made(run, name) else iter(()) for name in PUBLISHED}


def output_hashes(run: Run) -> dict[str, str]:
    """Return content hashes of the run's output tables: what check_output has judged is what publish_table may publish."""
    return {name: store.read_manifest(run.dataset(f"out_{name}")).content_hash for name in PUBLISHED if _is_made(run, name)}


def _is_made(run: Run, name: str) -> bool:
    """Return whether the run has the table; a run whose lists an earlier release has made lacks the tables besides them."""
    return name not in BESIDE_LISTS or store.is_committed(run.dataset(f"out_{name}"))


def model_version(run: Run) -> str:
    """Return the registered version that the run's gate decided on; "unregistered" for a run without that step."""
    if not store.is_committed(run.dataset("promotion")):
        return "unregistered"
    return str(json.loads((run.artefact("promotion") / "promotion.json").read_text())["model_version"])


def roll_back(target: Target, version: str | None, keep: int) -> tuple[Publication, Publication]:
    """Make a kept version live: the one named, or the newest one before the live. Returns the former and the new live version."""
    versions = target.versions()
    live = live_publication(versions)
    if live is None:
        raise PermanentError("nothing is live, so there is nothing to roll back; run the DAG nightly_retrain")
    chosen = _named(versions, version) if version else _newest_before(versions, live)
    if chosen.version == live.version:
        raise PermanentError(f"version {live.version} is live already; {_choices(versions)}")
    target.check(chosen.version)
    target.switch_to(chosen.version, newest_to_keep(versions, keep, chosen.version))
    return live, chosen


def _require_not_held(run: Run, target: Target) -> None:
    held, live = interventions.hold(run.settings), live_publication(target.versions())
    if held and (live is None or live.version != version_of(run.run_id)):
        raise Held(f"publications are held: {held.sentence}. The live version stays live; to publish again, {LIFT}")


def _require_replaceable(run: Run, versions: list[Publication], wanted: bool) -> None:
    """Raise PermanentError if the run may not replace the live version. wanted: a person asked for it."""
    version, live = version_of(run.run_id), live_publication(versions)
    if live is None or live.version == version:
        return
    if any(publication.version == version and publication.state == "kept" for publication in versions):
        raise PermanentError(
            f"run {run.run_id}: its version {version} was live and has been replaced by {live.version};"
            f" to go back to it: python -m jobs.rollback_publication --version {version}"
        )
    if is_older(run, live) and not wanted:
        raise PermanentError(
            f"run {run.run_id} sees events until {run.manifest.as_of:%Y-%m-%d %H:%M}, the live version {live.version} until"
            f" {live.as_of:%Y-%m-%d %H:%M}: readers would get older lists, and the live version stays. If that is wanted, clear"
            " check_output and give it an override reason"
        )


def _batches(run: Run, name: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for path in run.files(name):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)


def _passed_checks(run: Run) -> str:
    """Return notes for the publication; PermanentError unless the output checks of these tables passed or were overridden."""
    if not store.is_committed(run.dataset("output_checks")):
        raise PermanentError(f"run {run.run_id}: its tables are not checked; run python -m jobs.check_output --run-id {run.run_id}")
    verdict = json.loads((run.artefact("output_checks") / "checks.json").read_text())
    if verdict["tables"] != output_hashes(run):
        raise PermanentError(f"run {run.run_id}: its tables have changed since check_output; run it again")
    notes = [BACKFILL] if run.manifest.backfill else []
    if not verdict["passed"]:
        if not verdict["override_reason"]:
            failed = [check["name"] for check in verdict["checks"] if not check["passed"]]
            raise PermanentError(f"run {run.run_id}: check_output failed on {', '.join(failed)}; the live version stays")
        notes.append(f"override: {verdict['override_reason']}")
    return "; ".join(notes)


def _named(versions: list[Publication], version: str) -> Publication:
    matching = [publication for publication in versions if publication.version == version]
    if not matching or matching[0].state not in ("kept", "live"):
        raise PermanentError(f"version {version!r} cannot be rolled back to; {_choices(versions)}")
    return matching[0]


def _newest_before(versions: list[Publication], live: Publication) -> Publication:
    older = versions[versions.index(live) + 1 :]
    kept = [publication for publication in older if publication.state == "kept"]
    if not kept:
        raise PermanentError(f"no version older than the live {live.version} is kept; {_choices(versions)}")
    return kept[0]


def _choices(versions: list[Publication]) -> str:
    kept = [f"{p.version} (run {p.run_id}, made {p.generated_at:%Y-%m-%d %H:%M})" for p in versions if p.state == "kept"]
    return f"kept versions: {', '.join(kept) or 'none'}"
