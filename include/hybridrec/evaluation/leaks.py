"""Leak alarms: what must not be possible when no model, feature or ranker has seen what it is judged on.

They run in every night, in the job check_leaks, on a sample: some users, drawn by the run's seed, whose features and
scores are computed a second time, and some more whose labels are shuffled. Values computed twice must be equal, so these alarms are never
wrong; the one that tries to learn has a false alarm rate below FALSE_ALARM. docs/decisions/0038 lists the findings of each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.errors import Leak
from hybridrec.candidates.candidate_blocks import choose_models, columns_of, factor_columns, is_ordered, nearness_columns
from hybridrec.candidates.candidate_set import CandidateSet, load_candidates
from hybridrec.candidates.groups import Floats, best_first
from hybridrec.dataset.catalogue import candidate_items
from hybridrec.evaluation.leaked_labels import Finding, require_not_too_good, require_unlearnable_night
from hybridrec.metrics.labels import load_labels, sample_users
from hybridrec.metrics.metrics import Labels, pair_keys
from hybridrec.runs.run import Run
from hybridrec.splitting import purposes
from hybridrec.storage import store
from hybridrec.training.fits import FIT_FILE, load_fit, model_seed, user_block
from hybridrec.types import HasFactors

if TYPE_CHECKING:
    import pyarrow as pa

RECOMPUTED = "recomputed_features"  # by build_features: user.parquet, item.parquet
FINDINGS, FINDINGS_FILE = "leak_alarms", "found.json"
RECOMPUTED_USERS, RESCORED_USERS = 20, 30
TOLERANCE = 1e-3  # of a column's size: other processors round differently, another fit is farther away


def check_night(run: Run) -> list[Finding]:
    """Run all alarms over the splits that are judged; Leak with the first one that goes off."""
    findings = []
    for split in [name for name in run.splits if run.split(name).label_end is not None]:
        require_past(run, split)
        findings.append(require_recomputed_features(run, split))
        findings.append(require_known_candidates(run, split))
        findings.append(require_own_fits(run, split))
        findings.append(require_recomputed_scores(run, split))
        findings.append(require_not_too_good(run, split))
    return [*findings, require_unlearnable_night(run)]


def require_past(run: Run, split: str) -> None:
    """Raise Leak if interactions reach the cut or miss an item with features, or if a label is one that a list may not hold.

    Also if a label is of another split.
    """
    by_time = run.config.split == "time"
    cut, label_keys = run.split(split).cut, _label_keys(load_labels(run, split))
    known = np.zeros(run.read("model_items", columns=["item_idx"]).num_rows, dtype=bool)
    late = held = 0
    for batch in _pairs(run, "model_interactions", split, ["item_idx", "last_event_at"]):
        items = batch["item_idx"].to_numpy()
        known[items] = True
        late += by_time and int((batch["last_event_at"].cast("int64").to_numpy() >= cut.timestamp() * 1e6).sum())
    had = purposes.TABLE if run.manifest.repeats else "model_interactions"
    for batch in _pairs(run, had, split, ["user_idx", "item_idx"]):
        held += int(np.isin(pair_keys(batch["user_idx"].to_numpy(), batch["item_idx"].to_numpy()), label_keys).sum())
    featured = run.read("model_item_features", split, ["item_idx"])["item_idx"].to_numpy()
    unknown = int((~known[featured]).sum())
    if late or held or unknown:
        raise Leak(
            f"split {split}: {late} pairs of model_interactions have events at or after the cut {cut:%Y-%m-%d %H:%M}, {held} "
            f"{'that the user has had ' if run.manifest.repeats else ''}are labels, "
            f"{unknown} items of model_item_features have no event before it; expected none; rerun build_interactions and build_features"
        )
    _require_labels_of_split(run, split, label_keys)


def _require_labels_of_split(run: Run, split: str, label_keys: NDArray[np.int64]) -> None:
    """Raise Leak if a label is no event of the split's own window: then the next split's history, which ends there, lacks it."""
    later = run.splits[run.splits.index(run.split(split).name) + 1 :]
    if not later:
        return
    past = np.zeros(len(label_keys), dtype=bool)
    for batch in _pairs(run, "model_interactions", later[0], ["user_idx", "item_idx"]):
        keys = pair_keys(batch["user_idx"].to_numpy(), batch["item_idx"].to_numpy())
        at = np.minimum(np.searchsorted(label_keys, keys), len(label_keys) - 1)
        past[at[label_keys[at] == keys]] = True
    if not past.all():
        raise Leak(
            f"split {split}: {int((~past).sum())} of {len(past)} model_labels are not in the history of split {later[0]}, which ends "
            "where this split's labels end, so they come from elsewhere, perhaps from what the lists are judged by; expected none; "
            "rerun build_interactions and all after it"
        )


def _pairs(run: Run, table: str, split: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield the split's pairs batch by batch: there are as many as events."""
    import pyarrow.dataset as ds

    yield from ds.dataset(run.files(table, split), format="parquet", partitioning=None).to_batches(columns=columns)


def _label_keys(labels: Labels) -> NDArray[np.int64]:
    """Return the labels' pairs as sorted numbers."""
    return pair_keys(np.repeat(labels.users, np.diff(labels.starts)), labels.items)


def require_recomputed_features(run: Run, split: str) -> Finding:
    """Raise Leak if features of sampled users and their items, in the tables or in the candidates, change once later events are removed."""
    import pyarrow.parquet as pq

    users = sample_users(load_labels(run, split), RECOMPUTED_USERS, run.config.seed)
    candidates = load_candidates(run, split, users)
    counts = []
    for kind, of_rows, sampled in (("user", candidates.row_users, users), ("item", candidates.items, None)):
        expected = pq.read_table(run.artefact(RECOMPUTED, split) / f"{kind}.parquet").sort_by(f"{kind}_idx")
        keys = expected[f"{kind}_idx"].to_numpy()
        stored = _rows_with(run.read(f"model_{kind}_features", split), f"{kind}_idx", keys if sampled is None else sampled)
        _require_same_keys(keys, stored, split, kind)
        names = [name for name in expected.column_names if name != f"{kind}_idx"]
        _require_equal_columns(
            f"split {split}: model_{kind}_features", {name: (_values(stored[name]), _values(expected[name])) for name in names}, keys, kind
        )
        shown = np.isin(of_rows, keys)
        at = np.searchsorted(keys, of_rows[shown])
        among_candidates = {
            name: (candidates.features[name][shown], values[at])
            for name, values in _candidate_columns(expected, names)
            if name in candidates.features
        }
        _require_equal_columns(f"split {split}: the candidates'", among_candidates, of_rows[shown], kind)
        counts.append(f"{len(keys)} {kind}s")
    return Finding("features", f"split {split}: those of {' and '.join(counts)} are the same without later events")


def _rows_with(table: pa.Table, key: str, wanted: NDArray[np.integer]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return table.filter(pc.is_in(table[key], value_set=pa.array(wanted, pa.int32()))).sort_by(key)


def _values(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False), dtype=np.float64)


def _candidate_columns(expected: pa.Table, names: list[str]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the names and values of features as a candidate set shows them: counts as logarithms too."""
    for name in names:
        yield name, _values(expected[name])
        if "_n_" in name:
            yield name.replace("_n_", "_log_n_", 1), np.log1p(_values(expected[name]))


def _require_same_keys(keys: NDArray[np.integer], stored: pa.Table, split: str, kind: str) -> None:
    stored_keys = stored[f"{kind}_idx"].to_numpy()
    if not np.array_equal(keys, stored_keys):
        other = np.setxor1d(keys, stored_keys)
        raise Leak(
            f"split {split}: model_{kind}_features and the events before the cut disagree on which of the sampled {kind}s have a history: "
            f"{len(other)} differ, first {kind}_idx {other[0]}; rerun build_features"
        )


def _require_equal_columns(where: str, columns: dict[str, tuple[np.ndarray, np.ndarray]], keys: NDArray[np.integer], kind: str) -> None:
    """Raise Leak naming columns whose stored values differ from the recomputed ones. columns: (stored, recomputed) by name."""
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


def require_known_candidates(run: Run, split: str) -> Finding:
    """Raise Leak if a model retrieves an item that did not exist before the split's cut."""
    import pyarrow.dataset as ds

    known = candidate_items(run, split)
    data = ds.dataset(run.files("model_candidates", split), format="parquet", partitioning=None)
    late: dict[str, int] = {}
    for batch in data.to_batches(columns=["item_idx", *(name for name in data.schema.names if name.startswith("rank_"))]):
        unknown = ~known[batch["item_idx"].to_numpy()]
        if unknown.any():
            for name in batch.schema.names[1:]:
                late[name] = late.get(name, 0) + int((_valid(batch[name]) & unknown).sum())
    models = ", ".join(f"{name.removeprefix('rank_')} ({n} times)" for name, n in sorted(late.items()) if n)
    if late:
        raise Leak(
            f"split {split}: {models or 'the candidates'} shows items unknown before the cut {run.split(split).cut:%Y-%m-%d %H:%M}; "
            "expected none; run train_model of that split and generate_candidates again, or leave the model out with HYBRIDREC_SKIP"
        )
    return Finding("items of the future", f"split {split}: {int((~known).sum())} items came later and none of them is a candidate")


def _valid(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)


def require_own_fits(run: Run, split: str) -> Finding:
    """Raise Leak if a model of the split learned from other pairs than the split's interactions, or with another split's seed."""
    pairs, wrong = store.read_manifest(run.dataset("model_interactions", split)).rows, []
    models = choose_models(run).used
    for name in models:
        record = json.loads((run.artefact(f"models/{name}", split) / FIT_FILE).read_text())
        learned = record.get("pairs", pairs)
        if learned != pairs or record["seed"] != model_seed(run.config.seed, name, split):
            wrong.append(f"{name} ({learned} pairs, seed {record['seed']})")
    if wrong:
        raise Leak(
            f"split {split}: {', '.join(wrong)} did not learn from this split's {pairs} pairs of model_interactions, perhaps from those "
            "of a later one; run train_model of these models and generate_candidates of this split again"
        )
    return Finding("fits", f"split {split}: {len(models)} models learned from its {pairs} pairs and no others")


def require_recomputed_scores(run: Run, split: str) -> Finding:
    """Raise Leak if scores, factors or ranks that sampled users have in the candidates are not those of the split's fits and histories."""
    users = sample_users(load_labels(run, split), RESCORED_USERS, run.config.seed)
    candidates = load_candidates(run, split, users)
    block = user_block(run, split, candidates.users)
    rows = np.repeat(np.arange(len(candidates.users), dtype=np.int32), np.diff(candidates.starts))
    models = (*candidates.retrievers, *candidates.scorers)
    _require_known_columns(run, candidates, models, split)
    for name in models:
        model = load_fit(name, run.artefact(f"models/{name}", split))
        expected = {f"score_{name}": np.asarray(model.score_pairs(block, rows, candidates.items))}
        if isinstance(model, HasFactors):
            factors = model.pair_factors(block, rows, candidates.items)
            expected |= {column: factors[:, at] for at, column in enumerate(factor_columns(name))}
        if is_ordered(run):
            expected |= nearness_columns({name: model}, block, rows, candidates.items)
        for column, values in expected.items():
            _require_equal_scores(candidates, column, values, split)
        if name in candidates.retrievers:
            _require_falling(candidates, name, expected[f"score_{name}"], split)
    return Finding(
        "scores",
        f"split {split}: those of {len(models)} models for {len(candidates.items)} pairs of {len(candidates.users)} users are its fits'",
    )


def _require_known_columns(run: Run, candidates: CandidateSet, models: tuple[str, ...], split: str) -> None:
    """Raise Leak if the candidates have columns of a model that the split has no fit of: nothing says what they know."""
    fitted = [name for name in models if store.is_committed(run.dataset(f"models/{name}", split))]
    stored = {name for name in candidates.features if name.startswith(("score_", "rank_", "factor_", "last"))}
    unknown = stored.difference(*(columns_of(name) for name in fitted)) if fitted else stored
    if unknown:
        raise Leak(
            f"split {split}: no fit of this split can have made {', '.join(sorted(unknown))} in model_candidates; expected columns of "
            f"{', '.join(fitted) or 'fitted models'} alone; run generate_candidates of this split and all after it again"
        )


def _require_equal_scores(candidates: CandidateSet, column: str, expected: Floats, split: str) -> None:
    stored = candidates.features.get(column, np.full(len(expected), np.nan, np.float32))
    size = max(float(np.nanmax(np.abs(expected), initial=0.0)), 1e-12)
    differs = ~np.isclose(stored, expected, rtol=TOLERANCE, atol=TOLERANCE * size, equal_nan=True)
    if differs.any():
        at = int(np.flatnonzero(differs)[0])
        raise Leak(
            f"split {split}: {column} in model_candidates is not what this split's fit gives for "
            f"{len(np.unique(candidates.row_users[differs]))} of {len(candidates.users)} sampled users (user_idx "
            f"{candidates.row_users[at]}, item_idx {candidates.items[at]}: {stored[at]:.6g}, recomputed "
            f"{expected[at]:.6g}), so it may know more than the split; run generate_candidates of this split and all after it again"
        )


def _require_falling(candidates: CandidateSet, model: str, scores: Floats, split: str) -> None:
    """Raise Leak unless what the model ranks higher has the higher score: who retrieves by something else has seen something else."""
    order, _ = best_first(-candidates.features[f"rank_{model}"], candidates.items, candidates.starts)
    drop = np.diff(scores[order].astype(np.float64))
    size = max(float(np.nanmax(np.abs(scores[order]), initial=0.0)), 1e-12)
    rises = (np.diff(candidates.row_users[order]) == 0) & ~(drop <= TOLERANCE * size)
    if rises.any():
        user = candidates.row_users[order][:-1][rises][0]
        raise Leak(
            f"split {split}: rank_{model} in model_candidates does not follow this model's scores (user_idx {user}), so something else has "
            "put candidates on top; run generate_candidates of this split and all after it again"
        )
