"""All lists of a night on one split, judged over the same users: every model's own and every strategy's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.evaluation.bootstrap import Interval, interval, resampled_means
from hybridrec.metrics import metrics
from hybridrec.metrics.metrics import CATALOGUE_METRICS, METRICS, Catalogue, Judged, Labels, judge, judge_items, pair_keys, row_gains
from hybridrec.policy.policy import single_model_lists, single_model_scores
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.strategies import Strategy
from hybridrec.types import Doubles

if TYPE_CHECKING:
    import pyarrow as pa

ALL, NEW_ITEMS = "all", "new_items"
JUDGED_SEGMENTS = (ALL, *SEGMENTS, NEW_ITEMS)
COMPONENT_DEPTH = 100  # recall@100: of a retriever's first candidates
Key = tuple[str, str]  # kind and name of a list
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class JudgedLists:
    """Judged lists by kind and name, all over the users of `labels`.

    segments: none, light or heavy for each user. ks: lengths at which lists are judged, rising.
    retrieved: labels that the candidates or a retriever holds, bool (n_labels,) by (kind, name, metric); their share of a user's
    labels is that recall. n_candidates: of each user, float64 (n_users,).
    """

    labels: Labels
    segments: NDArray[np.str_]
    ks: tuple[int, ...]
    catalogue: Catalogue
    judged: dict[Key, Judged]
    retrieved: dict[tuple[str, str, str], Flags]
    n_candidates: Doubles

    def of_segment(self, segment: str) -> JudgedLists:
        """Return the lists of a segment's users; with `new_items` the same lists, compared with labels on new items only."""
        if segment == ALL:
            return self
        kept = self._labels_in(segment)
        labels = labels_where(self.labels, kept)
        users = np.isin(self.labels.users, labels.users)
        if segment == NEW_ITEMS:
            judged = {key: judge_items(one.items[users], labels) for key, one in self.judged.items()}
        else:
            judged = {key: metrics.rows_of(one, users) for key, one in self.judged.items()}
        retrieved = {key: flags[kept] for key, flags in self.retrieved.items()}
        parts = {"labels": labels, "judged": judged, "retrieved": retrieved}
        return replace(self, **parts, segments=self.segments[users], n_candidates=self.n_candidates[users])  # type: ignore[arg-type]

    def quality(self, key: Key, k: int) -> Doubles:
        """Return NDCG of each user's list, the measure by which lists are compared."""
        return metrics.ndcg(self.judged[key], k)

    def labels_of(self, users: Flags) -> Labels:
        """Return the labels of some of the users, bool (n_users,)."""
        return labels_where(self.labels, np.repeat(users, np.diff(self.labels.starts)))

    def _labels_in(self, segment: str) -> Flags:
        """Mark the labels that count in a segment; a new item is in no history before the split's cut."""
        if segment == NEW_ITEMS:
            return np.asarray(self.catalogue.n_users_of_item[self.labels.items] == 0)
        return np.repeat(self.segments == segment, np.diff(self.labels.starts))


def labels_where(labels: Labels, kept: Flags) -> Labels:
    """Return some of the labels, bool (n_labels,); a user without any left is left out."""
    sizes = np.add.reduceat(kept, labels.starts[:-1], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64)
    return Labels(labels.users[sizes > 0], starts, labels.items[kept], labels.gains[kept])


def judge_lists(
    candidates: CandidateSet,
    labels: Labels,
    ready: dict[str, Strategy],
    ks: tuple[int, ...],
    segments: NDArray[np.str_],
    catalogue: Catalogue,
) -> JudgedLists:
    """Judge every retriever, scorer and strategy on a candidate set; PermanentError when a model and a strategy share a name."""
    shared = {*candidates.retrievers, *candidates.scorers} & set(ready)
    if shared:
        raise PermanentError(f"{sorted(shared)}: a model and a strategy have the same name; rename one of the two files")
    lists: dict[Key, Judged] = {}
    for kind, name in single_model_lists(candidates):
        lists[kind, name] = judge(candidates, single_model_scores(candidates, kind, name), labels, max(ks))
    for name, strategy in sorted(ready.items()):
        lists["strategy", name] = judge(candidates, strategy.score(candidates), labels, max(ks))
    n_candidates = np.zeros(len(labels.users))
    n_candidates[np.isin(labels.users, candidates.users)] = np.diff(candidates.starts)[np.isin(candidates.users, labels.users)]
    return JudgedLists(labels, segments, tuple(sorted(ks)), catalogue, lists, _found_labels(candidates, labels), n_candidates)


def metric_rows(lists: JudgedLists, samples: int, seed: int, threads: int = 1) -> pa.Table:
    """Return out_metrics: every list, segment and metric; segments without users have no rows. threads: share a segment's users."""
    import pyarrow as pa

    rows: list[dict[str, object]] = []
    for segment in JUDGED_SEGMENTS:
        part = lists.of_segment(segment)
        if len(part.labels.users):
            rows += _user_metrics(part, segment, samples, seed, threads) + _table_metrics(part, segment, threads)
    return pa.Table.from_pylist(rows)


def _user_metrics(lists: JudgedLists, segment: str, samples: int, seed: int, threads: int) -> list[dict[str, object]]:
    columns = _component_metrics(lists)
    for (kind, name), judged in lists.judged.items():
        for k in lists.ks:
            values_by_metric = _of_list(judged, k, lists.catalogue, threads)
            columns |= {(kind, name, f"{metric}@{k}"): values for metric, values in values_by_metric.items()}
    values = np.stack(list(columns.values()), axis=1)  # (n_users, n_columns)
    resampled = resampled_means(values, samples, seed)
    means = values.mean(axis=0)
    return [_row(key, segment, interval(means[c], resampled[:, c]), len(values)) for c, key in enumerate(columns)]


def _of_list(judged: Judged, k: int, catalogue: Catalogue, threads: int) -> dict[str, Doubles]:
    beyond_accuracy = {name: of_metric(judged, k, catalogue, threads) for name, of_metric in CATALOGUE_METRICS.items()}
    return {name: of_metric(judged, k) for name, of_metric in METRICS.items()} | beyond_accuracy


def _component_metrics(lists: JudgedLists) -> dict[tuple[str, str, str], Doubles]:
    """Return the recall of all candidates and of each retriever's own, and the share that only one retriever finds."""
    starts = lists.labels.starts
    recalls = {key: np.add.reduceat(flags, starts[:-1], dtype=np.float64) / np.diff(starts) for key, flags in lists.retrieved.items()}
    return recalls | {("pool", "pool", "n_candidates"): lists.n_candidates}


def _table_metrics(lists: JudgedLists, segment: str, threads: int) -> list[dict[str, object]]:
    """Return the catalogue metrics of the segment's lists together; there is one table, so the interval has no width."""
    rows = []
    for (kind, name), judged in lists.judged.items():
        for k in lists.ks:
            shown = metrics.exposure(judged.items, len(lists.catalogue.n_users_of_item), k, threads)
            for metric, of_table in metrics.TABLE_METRICS.items():
                value = of_table(shown)
                rows.append(_row((kind, name, f"{metric}@{k}"), segment, Interval(value, value, value), len(judged.items)))
    return rows


def _row(key: tuple[str, str, str], segment: str, estimate: Interval, n_users: int) -> dict[str, object]:
    kind, name, metric = key
    return {
        "kind": kind,
        "name": name,
        "segment": segment,
        "metric": metric,
        "value": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "n_users": n_users,
    }


def _found_labels(candidates: CandidateSet, labels: Labels) -> dict[tuple[str, str, str], Flags]:
    """Mark the labels among the candidates, and the labels of each retriever: in its first positions, at all, alone."""
    hits = np.flatnonzero(row_gains(candidates, labels) > 0)
    keys = pair_keys(np.repeat(labels.users, np.diff(labels.starts)), labels.items)
    at = np.searchsorted(keys, pair_keys(candidates.row_users[hits], candidates.items[hits]))  # the label of each hit

    def flags(rows: Flags) -> Flags:
        is_hit = np.zeros(len(keys), dtype=bool)
        is_hit[at[rows]] = True
        return is_hit

    flags_by_list = {("pool", "pool", "recall@pool"): flags(np.ones(len(hits), dtype=bool))}
    alone = candidates.features["n_sources"][hits] == 1
    for retriever in candidates.retrievers:
        ranks = candidates.features[f"rank_{retriever}"][hits]
        flags_by_list["source", retriever, f"recall@{COMPONENT_DEPTH}"] = flags(ranks <= COMPONENT_DEPTH)
        flags_by_list["source", retriever, "recall@pool"] = flags(~np.isnan(ranks))
        flags_by_list["source", retriever, "unique_recall@pool"] = flags(~np.isnan(ranks) & alone)
    return flags_by_list
