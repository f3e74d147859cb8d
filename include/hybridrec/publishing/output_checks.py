"""Check the published table itself: invalid rows, and the distance of the lists from the live version.

A good model can still make a bad table. Broken rows (a seen item, a user twice) always stop the night; thresholds on
figures (coverage, overlap with the live version) stop it too, but a person may override them with a reason, which is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.publishing import surface_checks
from hybridrec.publishing.gathered_lists import BROKEN, NOTHING, Lists, batches_of, gather, index_of
from hybridrec.publishing.publish import is_older, live_publication, output_hashes
from hybridrec.publishing.table_checks import FAULTS, faults
from hybridrec.runs.run import Run
from hybridrec.versions.publications import SIDE_TABLES, Publication, Target

SURFACE = "surface_"  # begins the names of the checks of surfaces


@dataclass(frozen=True)
class OutputCheck:
    """One figure with its verdict.

    limit: the most or, for kind "at_least", the least that passes; None for a figure that is only reported.
    """

    name: str
    value: float
    limit: float | None
    kind: Literal["at_most", "at_least", "reported"]
    passed: bool
    may_be_overridden: bool
    meaning: str


def check_output(run: Run, target: Target, override_reason: str | None) -> dict[str, object]:
    """Return all figures with their verdicts, as they are kept in checks.json; nothing is raised here."""
    lists = gather(run, batches_of(run, "out_recommendations"), run.config.k)
    checks = [*broken_rows(lists), *broken_tables(run), *broken_surfaces(run), *figures(run, lists), *comparison(run, target, lists)]
    failed = [check for check in checks if not check.passed]
    live = live_publication(target.versions())
    return {
        "passed": not failed,
        "override_reason": (override_reason or None) if failed and all(check.may_be_overridden for check in failed) else None,
        "tables": output_hashes(run),
        "compared_with": live.version if live else None,
        "checks": [asdict(check) for check in checks],
    }


def require_passed(verdict: dict[str, object]) -> None:
    """Raise PermanentError naming every failed figure, unless a person has overridden them."""
    checks = [OutputCheck(**raw) for raw in verdict["checks"]]  # type: ignore[attr-defined]
    failed = [check for check in checks if not check.passed]
    if not failed or verdict["override_reason"]:
        return
    told = "; ".join(f"{c.name} is {c.value:.4g}, {c.kind.replace('_', ' ')} {c.limit:.4g} passes ({c.meaning})" for c in failed)
    if all(check.may_be_overridden for check in failed):
        remedy = (
            "find out why, then change the threshold in hybridrec.toml [night] for the next run, or run check_output with --override-reason"
        )
    else:
        remedy = "a rule or a model produced invalid rows: fix it and clear apply_rules; this cannot be overridden"
    beside = all(check.name in SIDE_TABLES or check.name.startswith(SURFACE) for check in failed)
    where = "the tables besides the lists" if beside else "out_recommendations"
    raise PermanentError(f"{where}: {told}. The live version stays live; {remedy}")


def broken_rows(lists: Lists) -> Iterable[OutputCheck]:
    """Yield faults that no reader may see: each must be 0."""
    missing = int(np.count_nonzero(lists.rows == 0))
    repeated = int(np.count_nonzero(lists.rows > 1))
    counts = {"missing_users": missing, "repeated_users": repeated} | lists.broken
    meanings = {"missing_users": "users of the run without a row", "repeated_users": "users with several rows"} | BROKEN
    for name, count in counts.items():
        yield OutputCheck(name, float(count), 0.0, "at_most", count == 0, False, meanings[name])


def broken_tables(run: Run) -> Iterable[OutputCheck]:
    """Yield the number of faults of each table besides the lists that the run has made: it must be 0."""
    for name, counts in faults(run).items():
        found = [f"{count} {FAULTS[fault]}" for fault, count in counts.items() if count]
        meaning = "; ".join(found) or "unknown, repeated, unavailable or opted-out entries, and scores out of order"
        yield OutputCheck(name, float(sum(counts.values())), 0.0, "at_most", not found, False, meaning)


def broken_surfaces(run: Run) -> Iterable[OutputCheck]:
    """Yield the number of faults of each surface's lists: it must be 0."""
    for name, counts in surface_checks.faults(run).items():
        found = [f"{count} {surface_checks.FAULTS[fault]}" for fault, count in counts.items() if count]
        meaning = "; ".join(found) or "broken rows of the surface's lists, and items that the surface does not allow"
        yield OutputCheck(f"{SURFACE}{name}", float(sum(counts.values())), 0.0, "at_most", not found, False, meaning)


def figures(run: Run, lists: Lists) -> Iterable[OutputCheck]:
    """Compare figures of all lists with the thresholds of the night's options."""
    config = run.config
    n_available = int(np.count_nonzero(run.read("model_items", columns=["is_available"])["is_available"].to_numpy()))
    reach = np.bincount(lists.items[lists.items != NOTHING], minlength=1)
    n_users = max(len(lists.rows), 1)
    coverage = np.count_nonzero(reach) / max(n_available, 1)
    yield _at_most("fallback_share", lists.n_fallback / n_users, config.max_fallback_share, "share of users whose list is all fallback")
    yield _at_most("concentration", float(reach.max()) / n_users, config.max_item_share, "largest share of users that one item reaches")
    yield _at_least("coverage", coverage, config.min_coverage, "share of the available items that is in some list")


def comparison(run: Run, target: Target, lists: Lists) -> Iterable[OutputCheck]:
    """Compare the lists with the live ones; yields nothing if no version, or this run's own, is live.

    A backfill that does not publish, and a run that looks back behind the live table and replaces it only by request or not at all,
    are compared for the record.
    """
    live = live_publication(target.versions())
    if live is None or live.run_id == run.run_id:
        return
    checks = _comparison(run, target, lists, live)
    reasons = (run.manifest.backfill, not run.manifest.publish, is_older(run, live))  # any two
    yield from (_reported(check) for check in checks) if sum(reasons) > 1 else checks


def _comparison(run: Run, target: Target, lists: Lists, live: Publication) -> Iterable[OutputCheck]:
    overlap, n_lost, n_live, n_gone = _against_live(run, target, lists)
    config: Config = run.config
    other = "" if live.source == run.manifest.source else f"; the live table is of source {live.source}, this run of {run.manifest.source}"
    yield _at_least("live_overlap", overlap, config.min_live_overlap, f"mean share of a user's live items that stay{other}")
    yield _at_most(
        "lost_users", n_lost / max(n_live, 1), config.max_lost_share, f"share of the live table's users who would lose their row{other}"
    )
    yield OutputCheck("items_gone", float(n_gone), None, "reported", True, True, "items of the live table that are in no list of this run")
    days = (live.as_of - run.manifest.as_of).total_seconds() / 86_400 if live.source == run.manifest.source else 0.0
    yield _at_most("days_behind_live", max(days, 0.0), 0.0, "days of events that the live table has seen and this run has not")


def _reported(check: OutputCheck) -> OutputCheck:
    return replace(check, limit=None, kind="reported", passed=True)


def _at_most(name: str, value: float, limit: float, meaning: str) -> OutputCheck:
    return OutputCheck(name, value, limit, "at_most", value <= limit, True, meaning)


def _at_least(name: str, value: float, limit: float, meaning: str) -> OutputCheck:
    return OutputCheck(name, value, limit, "at_least", value >= limit, True, meaning)


def _against_live(run: Run, target: Target, lists: Lists) -> tuple[float, int, int, int]:
    """Return mean overlap over users who have both lists, users lost, users live, items gone."""
    import pyarrow.compute as pc

    users = run.read("model_users").sort_by("user_idx")["user_id"].combine_chunks()
    items = run.read("model_items", columns=["item_idx", "item_id"]).sort_by("item_idx")["item_id"].combine_chunks()
    listed = set(np.unique(lists.items[lists.items != NOTHING]).tolist())
    gone: set[str] = set()
    shares, n_both, n_lost, n_live = 0.0, 0, 0, 0
    for batch in target.read_live("recommendations", ("user_id", "item_ids")):
        user = index_of(batch.column("user_id"), users)
        stays = (user >= 0) & (lists.rows[user] > 0)
        lengths = pc.list_value_length(batch.column("item_ids")).to_numpy(zero_copy_only=False)
        row = np.repeat(np.arange(len(user)), lengths)
        flat = batch.column("item_ids").flatten()
        item = index_of(flat, items)
        kept = (item[:, None] == lists.items[user[row]]).any(axis=1) & (item >= 0) & stays[row]
        share = np.bincount(row, kept, minlength=len(user)) / np.maximum(lengths, 1)
        both = stays & (lengths > 0)
        shares, n_both = shares + float(share[both].sum()), n_both + int(np.count_nonzero(both))
        n_lost, n_live = n_lost + int(np.count_nonzero(~stays)), n_live + len(user)
        gone.update(text for text, number in zip(flat.to_pylist(), item.tolist(), strict=True) if number not in listed)
    return shares / n_both if n_both else 0.0, n_lost, n_live, len(gone)
