"""All lists of a night on one fold, judged over the same users: every source's own and every strategy's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.errors import BadData
from hybridrec.evaluation import metrics
from hybridrec.evaluation.bootstrap import Doubles, Interval, interval, resampled_means
from hybridrec.evaluation.metrics import METRICS, Judged, Labels, judge, row_gains
from hybridrec.ranking.policy import SEGMENTS, Kind, source_scores
from hybridrec.ranking.pool import Pool
from hybridrec.strategies import Strategy

if TYPE_CHECKING:
    import pyarrow as pa

ALL = "all"


@dataclass(frozen=True)
class Catalogue:
    """What novelty and coverage need.

    n_users_of_item: users who know each item before the cut, float64 (n_items,). n_users: users with history.
    """

    n_users_of_item: Doubles
    n_users: int


@dataclass(frozen=True)
class JudgedLists:
    """Judged lists by (kind, name), all over the users of `labels`.

    segments: none, light or heavy for each user. ks: lengths at which lists are judged, rising.
    of_users: metrics that are not of a list of k, float64 (n_users,) by (kind, name, metric).
    """

    labels: Labels
    segments: NDArray[np.str_]
    ks: tuple[int, ...]
    catalogue: Catalogue
    judged: dict[tuple[Kind, str], Judged]
    of_users: dict[tuple[str, str, str], Doubles]

    def in_segment(self, segment: str) -> NDArray[np.bool_]:
        """Which users belong to a segment; all belong to `all`."""
        return np.ones(len(self.segments), dtype=bool) if segment == ALL else self.segments == segment

    def quality(self, kind: Kind, name: str, k: int) -> Doubles:
        """NDCG of each user's list, the measure by which lists are compared."""
        return metrics.ndcg(self.judged[kind, name], k)


def judge_lists(
    pool: Pool, labels: Labels, ready: dict[str, Strategy], ks: tuple[int, ...], segments: NDArray[np.str_], catalogue: Catalogue
) -> JudgedLists:
    """Judge every source and every strategy on a pool; BadData when a source and a strategy share a name."""
    shared = set(pool.sources) & set(ready)
    if shared:
        raise BadData(f"{sorted(shared)}: a model and a strategy have the same name; rename one of the two files")
    lists: dict[tuple[Kind, str], Judged] = {}
    for source in pool.sources:
        lists["source", source] = judge(pool, source_scores(pool, source), labels, max(ks))
    for name, strategy in sorted(ready.items()):
        lists["strategy", name] = judge(pool, strategy.score(pool), labels, max(ks))
    return JudgedLists(labels, segments, tuple(sorted(ks)), catalogue, lists, _of_components(pool, labels))


def metric_rows(lists: JudgedLists, samples: int, seed: int) -> pa.Table:
    """out_metrics: every list, segment and metric; segments without users have no rows."""
    import pyarrow as pa

    rows: list[dict[str, object]] = []
    for segment in (ALL, *SEGMENTS):
        inside = lists.in_segment(segment)
        if inside.any():
            rows += _user_metrics(lists, segment, inside, samples, seed) + _table_metrics(lists, segment, inside)
    return pa.Table.from_pylist(rows)


def _user_metrics(lists: JudgedLists, segment: str, inside: NDArray[np.bool_], samples: int, seed: int) -> list[dict[str, object]]:
    columns = {key: values[inside] for key, values in lists.of_users.items()}
    for (kind, name), judged in lists.judged.items():
        part = metrics.rows_of(judged, inside)
        for k in lists.ks:
            columns |= {(kind, name, f"{metric}@{k}"): of_metric(part, k) for metric, of_metric in METRICS.items()}
            of_catalogue = lists.catalogue
            columns[kind, name, f"novelty@{k}"] = metrics.novelty(part.items, of_catalogue.n_users_of_item, of_catalogue.n_users, k)
    values = np.stack(list(columns.values()), axis=1)  # (n_users, n_columns)
    resampled = resampled_means(values, samples, seed)
    means = values.mean(axis=0)
    return [_row(key, segment, interval(means[c], resampled[:, c]), len(values)) for c, key in enumerate(columns)]


def _table_metrics(lists: JudgedLists, segment: str, inside: NDArray[np.bool_]) -> list[dict[str, object]]:
    """Coverage and Gini of the segment's lists together; of a table there is one, so the interval has no width."""
    rows = []
    for (kind, name), judged in lists.judged.items():
        for k in lists.ks:
            shown = metrics.exposure(judged.items[inside], len(lists.catalogue.n_users_of_item), k)
            for metric, value in (("coverage", metrics.coverage(shown)), ("gini", metrics.gini(shown))):
                rows.append(_row((kind, name, f"{metric}@{k}"), segment, Interval(value, value, value), int(inside.sum())))
    return rows


def _row(key: tuple[str, str, str], segment: str, found: Interval, n_users: int) -> dict[str, object]:
    kind, name, metric = key
    return {
        "kind": kind,
        "name": name,
        "segment": segment,
        "metric": metric,
        "value": found.mean,
        "low": found.low,
        "high": found.high,
        "n_users": n_users,
    }


def _of_components(pool: Pool, labels: Labels) -> dict[tuple[str, str, str], Doubles]:
    """What the pool and each source's nominees can find at all, and what only one source finds."""
    hits = row_gains(pool, labels) > 0
    n_relevant = np.diff(labels.starts)
    found = {("pool", "pool", "recall@pool"): _count(pool, labels, hits) / n_relevant}
    found["pool", "pool", "n_candidates"] = _count(pool, labels, np.ones(len(hits), dtype=bool))
    alone = pool.features["n_sources"] == 1
    for source in pool.sources:
        nominated = ~np.isnan(pool.features[f"rank_{source}"])
        found["source", source, "recall@pool"] = _count(pool, labels, hits & nominated) / n_relevant
        found["source", source, "unique_recall@pool"] = _count(pool, labels, hits & nominated & alone) / n_relevant
    return found


def _count(pool: Pool, labels: Labels, rows: NDArray[np.bool_]) -> Doubles:
    """How many of the rows each labelled user has, float64 (n_users,)."""
    users = pool.row_users[rows]
    users = users[np.isin(users, labels.users)]
    return np.bincount(np.searchsorted(labels.users, users), minlength=len(labels.users)).astype(np.float64)
