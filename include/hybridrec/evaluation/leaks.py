"""Leak alarms: what must not be possible when no model, feature or ranker has seen what it is judged on.

They run in every night, in the job check_leaks, on a sample: some users, drawn by the run's seed, whose features and
scores are computed a second time, and some more whose labels are shuffled. What is computed twice must be equal, so
these alarms are never wrong; the chance that the one which tries to learn goes off in an honest night is below
FALSE_ALARM. docs/decisions/0038 says what each one finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.errors import Leak
from hybridrec.candidates.groups import Floats, best_first
from hybridrec.candidates.nomination import choose_sources, columns_of, factor_columns
from hybridrec.candidates.pool import Pool, load_pool
from hybridrec.dataset.catalogue import known_items
from hybridrec.evaluation.leaked_labels import Finding, require_not_too_good, require_unlearnable_night
from hybridrec.metrics.labels import load_labels, sample_users
from hybridrec.metrics.metrics import Labels, pair_keys
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.training.fits import FIT_FILE, load_fit, model_seed, user_block
from hybridrec.types import HasFactors

if TYPE_CHECKING:
    import pyarrow as pa

RECOMPUTED = "recomputed_features"  # by build_features: user.parquet, item.parquet
FOUND, FOUND_FILE = "leak_alarms", "found.json"
RECOMPUTED_USERS, RESCORED_USERS = 20, 30
TOLERANCE = 1e-3  # of a column's size: other processors round differently, another fit is farther away


def check_night(run: Run) -> list[Finding]:
    """Run all alarms over the folds that are judged; Leak with the first one that goes off."""
    found = []
    for fold in [name for name in run.folds if run.fold(name).label_end is not None]:
        require_past(run, fold)
        found.append(require_recomputed_features(run, fold))
        found.append(require_known_candidates(run, fold))
        found.append(require_own_fits(run, fold))
        found.append(require_recomputed_scores(run, fold))
        found.append(require_not_too_good(run, fold))
    return [*found, require_unlearnable_night(run)]


def require_past(run: Run, fold: str) -> None:
    """Leak when the fold's interactions reach its cut, hold a label, or miss an item that has features; or a label is of another fold."""
    by_time = run.config.split == "time"
    cut, label_keys = run.fold(fold).cut, _label_keys(load_labels(run, fold))
    known = np.zeros(run.read("model_items", columns=["item_idx"]).num_rows, dtype=bool)
    late = held = 0
    for batch in _interactions(run, fold, ["user_idx", "item_idx", "last_event_at"]):
        items = batch["item_idx"].to_numpy()
        known[items] = True
        late += by_time and int((batch["last_event_at"].cast("int64").to_numpy() >= cut.timestamp() * 1e6).sum())
        held += int(np.isin(pair_keys(batch["user_idx"].to_numpy(), items), label_keys).sum())
    featured = run.read("model_item_features", fold, ["item_idx"])["item_idx"].to_numpy()
    unknown = int((~known[featured]).sum())
    if late or held or unknown:
        raise Leak(
            f"fold {fold}: {late} pairs of model_interactions have events at or after the cut {cut:%Y-%m-%d %H:%M}, {held} are labels, "
            f"{unknown} items of model_item_features have no event before it; expected none; rerun build_interactions and build_features"
        )
    _require_labels_of_fold(run, fold, label_keys)


def _require_labels_of_fold(run: Run, fold: str, label_keys: NDArray[np.int64]) -> None:
    """Leak when a label is no event of the fold's own window: then the next fold's history, which ends there, lacks it."""
    later = run.folds[run.folds.index(run.fold(fold).name) + 1 :]
    if not later:
        return
    past = np.zeros(len(label_keys), dtype=bool)
    for batch in _interactions(run, later[0], ["user_idx", "item_idx"]):
        keys = pair_keys(batch["user_idx"].to_numpy(), batch["item_idx"].to_numpy())
        at = np.minimum(np.searchsorted(label_keys, keys), len(label_keys) - 1)
        past[at[label_keys[at] == keys]] = True
    if not past.all():
        raise Leak(
            f"fold {fold}: {int((~past).sum())} of {len(past)} model_labels are not in the history of fold {later[0]}, which ends "
            "where this fold's labels end, so they come from elsewhere, perhaps from what the lists are judged by; expected none; "
            "rerun build_interactions and all after it"
        )


def _interactions(run: Run, fold: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The fold's interactions batch by batch: there are as many as events."""
    import pyarrow.dataset as ds

    yield from ds.dataset(run.files("model_interactions", fold), format="parquet", partitioning=None).to_batches(columns=columns)


def _label_keys(labels: Labels) -> NDArray[np.int64]:
    """The labels' pairs as sorted numbers."""
    return pair_keys(np.repeat(labels.users, np.diff(labels.starts)), labels.items)


def require_recomputed_features(run: Run, fold: str) -> Finding:
    """Leak when features of sampled users and their items, in the tables or in the pool, change once later events are removed."""
    import pyarrow.parquet as pq

    users = sample_users(load_labels(run, fold), RECOMPUTED_USERS, run.config.seed)
    pool = load_pool(run, fold, users)
    counts = []
    for kind, of_rows, sampled in (("user", pool.row_users, users), ("item", pool.items, None)):
        expected = pq.read_table(run.artefact(RECOMPUTED, fold) / f"{kind}.parquet").sort_by(f"{kind}_idx")
        keys = expected[f"{kind}_idx"].to_numpy()
        stored = _rows_with(run.read(f"model_{kind}_features", fold), f"{kind}_idx", keys if sampled is None else sampled)
        _require_same_keys(keys, stored, fold, kind)
        names = [name for name in expected.column_names if name != f"{kind}_idx"]
        _require_equal_columns(
            f"fold {fold}: model_{kind}_features", {name: (_values(stored[name]), _values(expected[name])) for name in names}, keys, kind
        )
        shown = np.isin(of_rows, keys)
        at = np.searchsorted(keys, of_rows[shown])
        in_pool = {
            name: (pool.features[name][shown], values[at]) for name, values in _pool_columns(expected, names) if name in pool.features
        }
        _require_equal_columns(f"fold {fold}: the pool's", in_pool, of_rows[shown], kind)
        counts.append(f"{len(keys)} {kind}s")
    return Finding("features", f"fold {fold}: those of {' and '.join(counts)} are the same without later events")


def _rows_with(table: pa.Table, key: str, wanted: NDArray[np.integer]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return table.filter(pc.is_in(table[key], value_set=pa.array(wanted, pa.int32()))).sort_by(key)


def _values(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False), dtype=np.float64)


def _pool_columns(expected: pa.Table, names: list[str]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The names and values of features as a pool shows them: counts as logarithms too."""
    for name in names:
        yield name, _values(expected[name])
        if "_n_" in name:
            yield name.replace("_n_", "_log_n_", 1), np.log1p(_values(expected[name]))


def _require_same_keys(keys: NDArray[np.integer], stored: pa.Table, fold: str, kind: str) -> None:
    found = stored[f"{kind}_idx"].to_numpy()
    if not np.array_equal(keys, found):
        other = np.setxor1d(keys, found)
        raise Leak(
            f"fold {fold}: model_{kind}_features and the events before the cut disagree on which of the sampled {kind}s have a history: "
            f"{len(other)} differ, first {kind}_idx {other[0]}; rerun build_features"
        )


def _require_equal_columns(where: str, columns: dict[str, tuple[np.ndarray, np.ndarray]], keys: NDArray[np.integer], kind: str) -> None:
    """Leak that names each column whose stored values are not the recomputed ones. columns: (stored, recomputed) by name."""
    wrong = {name: ~np.isclose(*pair, rtol=1e-4, atol=1e-4, equal_nan=True) for name, pair in columns.items()}
    wrong = {name: differs for name, differs in wrong.items() if differs.any()}
    if not wrong:
        return
    first = min(wrong)
    at = int(np.flatnonzero(wrong[first])[0])
    stored, expected = (values[at] for values in columns[first])
    raise Leak(
        f"{where} {', '.join(sorted(wrong))} knows what came after the cut: without later events {first} of {kind}_idx {keys[at]} is "
        f"{expected:.6g}, not {stored:.6g}; correct what computes it, then run build_features and all after it again"
    )


def require_known_candidates(run: Run, fold: str) -> Finding:
    """Leak when a model nominates an item that did not exist before the fold's cut."""
    import pyarrow.dataset as ds

    known = known_items(run, fold)
    data = ds.dataset(run.files("model_candidates", fold), format="parquet", partitioning=None)
    late: dict[str, int] = {}
    for batch in data.to_batches(columns=["item_idx", *(name for name in data.schema.names if name.startswith("rank_"))]):
        unknown = ~known[batch["item_idx"].to_numpy()]
        if unknown.any():
            for name in batch.schema.names[1:]:
                late[name] = late.get(name, 0) + int((_valid(batch[name]) & unknown).sum())
    models = ", ".join(f"{name.removeprefix('rank_')} ({n} times)" for name, n in sorted(late.items()) if n)
    if late:
        raise Leak(
            f"fold {fold}: {models or 'the pool'} shows items that nobody knew before the cut {run.fold(fold).cut:%Y-%m-%d %H:%M}; "
            "expected none; run train_model of that fold and generate_candidates again, or leave the model out with HYBRIDREC_SKIP"
        )
    return Finding("items of the future", f"fold {fold}: {int((~known).sum())} items came later and none of them is a candidate")


def _valid(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)


def require_own_fits(run: Run, fold: str) -> Finding:
    """Leak when a model of the fold learned from other pairs than the fold's interactions, or with another fold's seed."""
    pairs, wrong = store.read_manifest(run.dataset("model_interactions", fold)).rows, []
    models = choose_sources(run).used
    for name in models:
        record = json.loads((run.artefact(f"models/{name}", fold) / FIT_FILE).read_text())
        learned = record.get("pairs", pairs)
        if learned != pairs or record["seed"] != model_seed(run.config.seed, name, fold):
            wrong.append(f"{name} ({learned} pairs, seed {record['seed']})")
    if wrong:
        raise Leak(
            f"fold {fold}: {', '.join(wrong)} did not learn from this fold's {pairs} pairs of model_interactions, perhaps from those "
            "of a later one; run train_model of these models and generate_candidates of this fold again"
        )
    return Finding("fits", f"fold {fold}: {len(models)} models learned from its {pairs} pairs and no others")


def require_recomputed_scores(run: Run, fold: str) -> Finding:
    """Leak when scores, factors or ranks that sampled users have in the pool are not those of the fold's fits and histories."""
    users = sample_users(load_labels(run, fold), RESCORED_USERS, run.config.seed)
    pool = load_pool(run, fold, users)
    block = user_block(run, fold, pool.users)
    rows = np.repeat(np.arange(len(pool.users), dtype=np.int32), np.diff(pool.starts))
    models = (*pool.sources, *pool.scorers)
    _require_known_columns(run, pool, models, fold)
    for name in models:
        model = load_fit(name, run.artefact(f"models/{name}", fold))
        expected = {f"score_{name}": np.asarray(model.score_pairs(block, rows, pool.items))}
        if isinstance(model, HasFactors):
            factors = model.pair_factors(block, rows, pool.items)
            expected |= {column: factors[:, at] for at, column in enumerate(factor_columns(name))}
        for column, values in expected.items():
            _require_equal_scores(pool, column, values, fold)
        if name in pool.sources:
            _require_falling(pool, name, expected[f"score_{name}"], fold)
    return Finding(
        "scores",
        f"fold {fold}: those of {len(models)} models for {len(pool.items)} candidates of {len(pool.users)} users are its own fits'",
    )


def _require_known_columns(run: Run, pool: Pool, models: tuple[str, ...], fold: str) -> None:
    """Leak when the pool has columns of a model that the fold has no fit of: nothing says what they know."""
    fitted = [name for name in models if store.is_committed(run.dataset(f"models/{name}", fold))]
    stored = {name for name in pool.features if name.startswith(("score_", "rank_", "factor_"))}
    unknown = stored.difference(*(columns_of(name) for name in fitted)) if fitted else stored
    if unknown:
        raise Leak(
            f"fold {fold}: no fit of this fold can have made {', '.join(sorted(unknown))} in model_candidates; expected columns of "
            f"{', '.join(fitted) or 'fitted models'} alone; run generate_candidates of this fold and all after it again"
        )


def _require_equal_scores(pool: Pool, column: str, expected: Floats, fold: str) -> None:
    stored = pool.features.get(column, np.full(len(expected), np.nan, np.float32))
    size = max(float(np.nanmax(np.abs(expected), initial=0.0)), 1e-12)
    differs = ~np.isclose(stored, expected, rtol=TOLERANCE, atol=TOLERANCE * size, equal_nan=True)
    if differs.any():
        at = int(np.flatnonzero(differs)[0])
        raise Leak(
            f"fold {fold}: {column} in model_candidates is not what this fold's fit gives for {len(np.unique(pool.row_users[differs]))} of "
            f"{len(pool.users)} sampled users (user_idx {pool.row_users[at]}, item_idx {pool.items[at]}: {stored[at]:.6g}, recomputed "
            f"{expected[at]:.6g}), so it may know more than the fold; run generate_candidates of this fold and all after it again"
        )


def _require_falling(pool: Pool, model: str, scores: Floats, fold: str) -> None:
    """Leak unless what the model ranks higher has the higher score: who nominates by something else has seen something else."""
    order, _ = best_first(-pool.features[f"rank_{model}"], pool.items, pool.starts)
    drop = np.diff(scores[order].astype(np.float64))
    size = max(float(np.nanmax(np.abs(scores[order]), initial=0.0)), 1e-12)
    rises = (np.diff(pool.row_users[order]) == 0) & ~(drop <= TOLERANCE * size)
    if rises.any():
        user = pool.row_users[order][:-1][rises][0]
        raise Leak(
            f"fold {fold}: rank_{model} in model_candidates does not follow this model's scores (user_idx {user}), so something else has "
            "put candidates on top; run generate_candidates of this fold and all after it again"
        )
