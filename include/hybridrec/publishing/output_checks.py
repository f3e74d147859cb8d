"""Check the published table itself: invalid rows, and the distance of the lists from the live version.

A good model can still make a bad table. Broken rows (a seen item, a user twice) always stop the night; thresholds on
figures (coverage, overlap with the live version) stop it too, but a person may override them with a reason, which is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.publishing.publish import is_older, live_publication, output_hashes
from hybridrec.publishing.table_checks import FAULTS, faults
from hybridrec.retrieval.sparse import in_history
from hybridrec.runs.run import Run
from hybridrec.splitting.likes import disliked
from hybridrec.training.fits import user_block
from hybridrec.versions.publications import BESIDE_LISTS, Publication, Target

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 5_000
NOTHING = -1  # pads lists; also an item that the run does not know


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


@dataclass
class Lists:
    """Figures from one pass over out_recommendations.

    items: int32 (n_users, longest list), item_idx or NOTHING. rows: how often each user occurs. broken: rows by kind of fault.
    """

    items: NDArray[np.int32]
    rows: NDArray[np.int32]
    n_fallback: int = 0
    broken: dict[str, int] = field(default_factory=dict)


BROKEN = {
    "unknown_users": "rows of users whom the run does not know",
    "wrong_length": "lists that are longer than k, or shorter without a stated reason, or whose arrays differ in length",
    "unknown_items": "positions with an item that the run does not know",
    "seen_items": "positions with an item that the user has had",
    "unavailable_items": "positions with an item that is not available",
    "repeated_items": "positions whose item is in the same list already",
    "rising_scores": "positions whose score is above the one before, or is no number",
}


def check_output(run: Run, target: Target, override_reason: str | None) -> dict[str, object]:
    """Return all figures with their verdicts, as they are kept in checks.json; nothing is raised here."""
    lists = gather(run)
    checks = [*broken_rows(lists), *broken_tables(run), *figures(run, lists), *comparison(run, target, lists)]
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
    where = "the tables besides the lists" if all(check.name in BESIDE_LISTS for check in failed) else "out_recommendations"
    raise PermanentError(f"{where}: {told}. The live version stays live; {remedy}")


def gather(run: Run) -> Lists:
    """Return one pass over the lists, a batch of users at a time; memory holds one number per entry."""
    import pyarrow.parquet as pq

    users = run.read("model_users").sort_by("user_idx")["user_id"].combine_chunks()
    items = run.read("model_items", columns=["item_idx", "item_id", "is_available"]).sort_by("item_idx")
    lists = Lists(np.full((len(users), run.config.k), NOTHING, np.int32), np.zeros(len(users), np.int32), broken=dict.fromkeys(BROKEN, 0))
    for path in run.files("out_recommendations"):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                _gather_batch(run, lists, batch, users, items)
    return lists


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


def _gather_batch(run: Run, lists: Lists, batch: pa.RecordBatch, users: pa.Array, items: pa.Table) -> None:
    import pyarrow.compute as pc

    user = _index(batch.column("user_id"), users)
    known = user >= 0
    lengths = pc.list_value_length(batch.column("item_ids")).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(user)), lengths)
    position = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    item = _index(batch.column("item_ids").flatten(), items["item_id"].combine_chunks())
    broken = lists.broken
    broken["unknown_users"] += int(np.count_nonzero(~known))
    broken["wrong_length"] += _wrong_lengths(batch, lengths, run.config.k)
    broken["unknown_items"] += int(np.count_nonzero(item < 0))
    broken["repeated_items"] += len(row) - len(np.unique(np.stack([row, item]), axis=1).T)
    usable = (item >= 0) & known[row]
    broken["seen_items"] += _seen(run, user[row[usable]], item[usable])
    available = items["is_available"].to_numpy()
    broken["unavailable_items"] += int(np.count_nonzero(~available[item[usable]]))
    broken["rising_scores"] += _rising(batch.column("scores"))
    np.add.at(lists.rows, user[known], 1)
    lists.n_fallback += int(np.count_nonzero(batch.column("reason").to_numpy(zero_copy_only=False) == "fallback"))
    fits = usable & (position < lists.items.shape[1])
    lists.items[user[row[fits]], position[fits]] = item[fits]


def _index(values: pa.Array, known: pa.Array) -> NDArray[np.int64]:
    """Return the place of each value among the known ones, NOTHING where it is not."""
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.index_in(values, value_set=known), NOTHING).to_numpy(zero_copy_only=False), dtype=np.int64)


def _wrong_lengths(batch: pa.RecordBatch, lengths: NDArray[np.int64], k: int) -> int:
    import pyarrow.compute as pc

    stated = batch.column("shortfall").is_valid().to_numpy(zero_copy_only=False)
    wrong = (lengths > k) | ((lengths < k) != stated)
    for name in ("scores", "reasons", "sources"):
        wrong |= pc.list_value_length(batch.column(name)).to_numpy(zero_copy_only=False) != lengths
    return int(np.count_nonzero(wrong))


def _seen(run: Run, users: NDArray[np.int64], items: NDArray[np.int64]) -> int:
    block, row = np.unique(users, return_inverse=True)
    left_out = user_block(run, "full", block.astype(np.int32)).left_out
    had = in_history(left_out, row, items) | in_history(disliked(run, "full", block.astype(np.int32)), row, items)
    return int(np.count_nonzero(had))


def _rising(scores: pa.ListArray) -> int:
    """Count entries that break the falling order, a list's first one excepted, and entries without a number."""
    import pyarrow.compute as pc

    flat = scores.flatten().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(scores).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lengths)), lengths)
    rises = (flat[1:] > flat[:-1]) & (row[1:] == row[:-1])
    return int(np.count_nonzero(rises)) + int(np.count_nonzero(~np.isfinite(flat)))


def _against_live(run: Run, target: Target, lists: Lists) -> tuple[float, int, int, int]:
    """Return mean overlap over users who have both lists, users lost, users live, items gone."""
    import pyarrow.compute as pc

    users = run.read("model_users").sort_by("user_idx")["user_id"].combine_chunks()
    items = run.read("model_items", columns=["item_idx", "item_id"]).sort_by("item_idx")["item_id"].combine_chunks()
    listed = set(np.unique(lists.items[lists.items != NOTHING]).tolist())
    gone: set[str] = set()
    shares, n_both, n_lost, n_live = 0.0, 0, 0, 0
    for batch in target.read_live("recommendations", ("user_id", "item_ids")):
        user = _index(batch.column("user_id"), users)
        stays = (user >= 0) & (lists.rows[user] > 0)
        lengths = pc.list_value_length(batch.column("item_ids")).to_numpy(zero_copy_only=False)
        row = np.repeat(np.arange(len(user)), lengths)
        flat = batch.column("item_ids").flatten()
        item = _index(flat, items)
        kept = (item[:, None] == lists.items[user[row]]).any(axis=1) & (item >= 0) & stays[row]
        share = np.bincount(row, kept, minlength=len(user)) / np.maximum(lengths, 1)
        both = stays & (lengths > 0)
        shares, n_both = shares + float(share[both].sum()), n_both + int(np.count_nonzero(both))
        n_lost, n_live = n_lost + int(np.count_nonzero(~stays)), n_live + len(user)
        gone.update(text for text, number in zip(flat.to_pylist(), item.tolist(), strict=True) if number not in listed)
    return shares / n_both if n_both else 0.0, n_lost, n_live, len(gone)
