"""Paired comparisons of lists, and the decision which list each segment gets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from hybridrec import strategies
from hybridrec.evaluation import metrics
from hybridrec.evaluation.bootstrap import Doubles, interval, resampled_means
from hybridrec.evaluation.labels import LabelledPool
from hybridrec.evaluation.lists import ALL, JudgedLists
from hybridrec.evaluation.metrics import judge, row_gains
from hybridrec.ranking.policy import SEGMENTS, Choice, Kind
from hybridrec.strategies import LearntStrategy, Strategy

POPULARITY = "popularity"
MIN_USERS = 20  # with fewer a bootstrap interval is too narrow to overrule the default


@dataclass(frozen=True)
class Comparison:
    """One row of out_comparisons; difference is name minus against, so above 0 speaks for name."""

    question: str
    name: str
    against: str
    segment: str
    metric: str
    difference: float
    low: float
    high: float
    n_users: int

    def text(self) -> str:
        """As "weighted - stacking: ndcg@20 +0.0031 [-0.0102, +0.0161], 812 users"."""
        interval = f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"
        return f"{self.name} - {self.against}: {self.metric} {interval}, {self.n_users} users"


@dataclass(frozen=True)
class Resampling:
    """How intervals are drawn."""

    samples: int
    seed: int


class Pair(NamedTuple):
    """Two lists to be compared; difference is each user's NDCG at k of name minus against, float64 (n_users,)."""

    question: str
    name: str
    against: str
    k: int
    difference: Doubles


def compare(pairs: list[Pair], lists: JudgedLists, how: Resampling) -> list[Comparison]:
    """Each pair overall and in every segment that has users; all pairs of a segment are resampled together."""
    rows = []
    for segment in (ALL, *SEGMENTS):
        inside = lists.in_segment(segment)
        if not inside.any() or not pairs:
            continue
        differences = np.stack([pair.difference[inside] for pair in pairs], axis=1)  # (n_users, n_pairs)
        means, resampled = differences.mean(axis=0), resampled_means(differences, how.samples, how.seed)
        for column, pair in enumerate(pairs):
            found = interval(means[column], resampled[:, column])
            n_users = len(differences)
            rows.append(Comparison(pair.question, pair.name, pair.against, segment, f"ndcg@{pair.k}", *found, n_users=n_users))
    return rows


def compare_lists(lists: JudgedLists, how: Resampling) -> list[Comparison]:
    """Every list against the default strategy, and every strategy against popularity."""
    default = default_list(lists)
    pairs: list[Pair] = []
    for k in lists.ks:
        quality = {key: lists.quality(*key, k) for key in lists.judged}
        popular = quality.get(("source", POPULARITY))
        for (kind, name), ours in quality.items():
            if (kind, name) != default:
                pairs.append(Pair("strategy", name, default[1], k, ours - quality[default]))
            if kind == "strategy" and popular is not None:
                pairs.append(Pair("strategy", name, POPULARITY, k, ours - popular))
    return compare(pairs, lists, how)


def default_list(lists: JudgedLists) -> tuple[Kind, str]:
    """The list that is published unless another is better: stacking, or the first strategy where that is switched off."""
    names = [key for key in lists.judged if key[0] == "strategy"]
    return ("strategy", strategies.DEFAULT) if ("strategy", strategies.DEFAULT) in names else (names or list(lists.judged))[0]


def decide(lists: JudgedLists, comparisons: list[Comparison], k: int) -> dict[str, Choice]:
    """For each segment the default, unless another list is better with the whole interval above 0; then the best such."""
    default = default_list(lists)
    kinds = {name: kind for kind, name in lists.judged}
    choices = {}
    for segment in SEGMENTS:
        rivals = [row for row in comparisons if row.segment == segment and row.metric == f"ndcg@{k}" and row.against == default[1]]
        rivals.sort(key=lambda row: (-row.difference, row.name))
        better = [row for row in rivals if row.low > 0 and row.n_users >= MIN_USERS]
        if better:
            reason = f"better than the default with the whole 95 % interval above 0. {better[0].text()}"
            choices[segment] = Choice(kinds[better[0].name], better[0].name, reason)
        else:
            choices[segment] = Choice(*default, reason=_why_default(lists, segment, rivals))
    return choices


def _why_default(lists: JudgedLists, segment: str, rivals: list[Comparison]) -> str:
    n_users = int(lists.in_segment(segment).sum())
    if n_users < MIN_USERS:
        return f"the default: {n_users} users with labels in this segment are too few to overrule it, {MIN_USERS} are needed"
    if not rivals:
        return "the default: there is no other list"
    return f"the default: no list is better with its whole 95 % interval above 0. Nearest: {rivals[0].text()}"


def ablate(
    lists: JudgedLists, ready: dict[str, Strategy], train: LabelledPool, judged: LabelledPool, k: int, how: Resampling, threads: int
) -> list[Comparison]:
    """What each source buys: strategies without it, minus the same strategies with it; below 0 it helps.

    The source's columns and what it alone nominated are taken from the pools of both folds. A fixed strategy scores
    what is left; a learnt one is fitted again on it, with the rounds and the mix that the whole pool chose.
    """
    pairs: list[Pair] = []
    for source in judged.pool.sources if len(judged.pool.sources) > 1 else ():
        left = LabelledPool(judged.pool.without(source), judged.labels)
        learnt_from = LabelledPool(train.pool.without(source), train.labels)
        for name, strategy in sorted(ready.items()):
            scores = _refitted(strategy, learnt_from, how.seed, threads).score(left.pool)
            without = metrics.ndcg(judge(left.pool, scores, left.labels, k), k)
            pairs.append(Pair("ablation", source, name, k, without - lists.quality("strategy", name, k)))
    return compare(pairs, lists, how)


def _refitted(strategy: Strategy, train: LabelledPool, seed: int, threads: int) -> Strategy:
    if not isinstance(strategy, LearntStrategy):
        return strategy
    again = strategy.unfitted()
    again.fit(train.pool, row_gains(train.pool, train.labels), seed, threads)
    return again


def as_columns(rows: list[Comparison]) -> list[dict[str, object]]:
    """Rows for an Arrow table."""
    return [asdict(row) for row in rows]
