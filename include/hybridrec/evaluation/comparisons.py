"""Paired comparisons of lists, and the decision which list each segment gets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple, cast

import numpy as np

from hybridrec import strategies
from hybridrec.evaluation.bootstrap import interval, resampled_means
from hybridrec.evaluation.judged_lists import JUDGED_SEGMENTS, JudgedLists, Key
from hybridrec.policy.policy import Choice, ListKind
from hybridrec.splitting.mix import MIN_USERS, SEGMENTS

POPULARITY = "popularity"


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
        """Format as "weighted - stacking: ndcg@20 +0.0031 [-0.0102, +0.0161], 812 users"."""
        interval = f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"
        return f"{self.name} - {self.against}: {self.metric} {interval}, {_users(self.n_users)}"


@dataclass(frozen=True)
class Resampling:
    """Settings of the intervals."""

    samples: int
    seed: int


class Pair(NamedTuple):
    """Two lists that are to be compared by NDCG at k."""

    question: str
    ours: Key
    theirs: Key
    k: int


def compare(pairs: list[Pair], lists: JudgedLists, segment: str, how: Resampling) -> list[Comparison]:
    """Return each pair over the users of `lists`, who are all of the segment; all pairs are resampled together."""
    if not pairs or not len(lists.labels.users):
        return []
    quality = {(key, pair.k): lists.quality(key, pair.k) for pair in pairs for key in (pair.ours, pair.theirs)}
    differences = np.stack([quality[pair.ours, pair.k] - quality[pair.theirs, pair.k] for pair in pairs], axis=1)  # (n_users, n_pairs)
    means, resampled = differences.mean(axis=0), resampled_means(differences, how.samples, how.seed)
    rows = []
    for column, pair in enumerate(pairs):
        estimate = interval(means[column], resampled[:, column])
        rows.append(Comparison(pair.question, pair.ours[1], pair.theirs[1], segment, f"ndcg@{pair.k}", *estimate, n_users=len(differences)))
    return rows


def compare_lists(lists: JudgedLists, how: Resampling) -> list[Comparison]:
    """Compare, in every segment, each list with the default strategy, each strategy with popularity and the best retriever."""
    default = default_list(lists)
    rows = []
    for segment in JUDGED_SEGMENTS:
        part = lists.of_segment(segment)
        if len(part.labels.users):
            rows += compare([pair for k in lists.ks for pair in _pairs(part, default, k)], part, segment, how)
    return rows


def _pairs(lists: JudgedLists, default: Key, k: int) -> list[Pair]:
    best, popular = best_retriever(lists, k), ("source", POPULARITY)
    pairs = [Pair("strategy", key, default, k) for key in lists.judged if key != default]
    for key in (key for key in lists.judged if key[0] == "strategy"):
        pairs += [Pair("strategy", key, popular, k)] if popular in lists.judged else []
        pairs += [Pair("best_source", key, best, k)] if best else []
    return pairs


def best_retriever(lists: JudgedLists, k: int) -> Key | None:
    """Return the retriever with the highest mean NDCG of these users, the first by name of equals; None without a retriever."""
    retrievers = sorted(key for key in lists.judged if key[0] == "source")
    return max(retrievers, key=lambda key: float(lists.quality(key, k).mean()), default=None)


def default_list(lists: JudgedLists) -> Key:
    """Return the list that is published unless another is better: stacking, or the first strategy where that is switched off."""
    names = [key for key in lists.judged if key[0] == "strategy"]
    return ("strategy", strategies.DEFAULT) if ("strategy", strategies.DEFAULT) in names else (names or list(lists.judged))[0]


def decide(lists: JudgedLists, comparisons: list[Comparison], k: int) -> dict[str, Choice]:
    """Choose for each segment the default, unless other lists are better with the whole interval above 0; then the best of them."""
    kind, default = default_list(lists)
    kinds = {name: kind for kind, name in lists.judged}
    choices = {}
    for segment in SEGMENTS:
        of_segment = [row for row in comparisons if row.segment == segment and row.metric == f"ndcg@{k}"]
        rivals = [row for row in of_segment if row.question == "strategy" and row.against == default]
        rivals.sort(key=lambda row: (-row.difference, row.name))
        better = [row for row in rivals if row.low > 0 and row.n_users >= MIN_USERS]
        if better:
            name, reason = better[0].name, f"better than the default with the whole 95 % interval above 0. {better[0].text()}"
        else:
            name, reason = default, _why_default(lists, segment, rivals)
        choices[segment] = Choice(cast(ListKind, kinds.get(name, kind)), name, reason + _beside_best_retriever(of_segment, name))
    return choices


def _why_default(lists: JudgedLists, segment: str, rivals: list[Comparison]) -> str:
    n_users = int((lists.segments == segment).sum())
    if n_users < MIN_USERS:
        return f"the default: {_users(n_users)} with labels in this segment; {MIN_USERS} are needed to overrule it"
    if not rivals:
        return "the default: there is no other list"
    return f"the default: no list is better with its whole 95 % interval above 0. Nearest: {rivals[0].text()}"


def _users(n: int) -> str:
    return "1 user" if n == 1 else f"{n} users"


def _beside_best_retriever(of_segment: list[Comparison], name: str) -> str:
    rows = [row for row in of_segment if row.question == "best_source" and row.name == name]
    return f". Against the best single retriever: {rows[0].text()}" if rows else ""


def as_columns(rows: list[Comparison]) -> list[dict[str, object]]:
    """Return rows for an Arrow table."""
    return [asdict(row) for row in rows]
