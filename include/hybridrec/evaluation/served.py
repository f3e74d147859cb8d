"""Measure quality for the users served: the evaluated users, weighted by the lengths of the served users' histories.

Users with held-out items are not the users who get a list: with a calendar, most of them may be newcomers. So each segment's mean
counts by the segment's share of the users served, and each segment is resampled by itself. (Post-stratification: Cochran,
"Sampling techniques", 3rd edition, 1977, 5A.9.) hybridrec.splitting.mix decides which segments have judged users enough.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridrec.evaluation.bootstrap import interval, resampled_means
from hybridrec.evaluation.comparisons import POPULARITY, Comparison, Resampling
from hybridrec.splitting.mix import LEARNT_MIX, judged_segments, mix_of, strata, user_weights, weighed_mix
from hybridrec.types import Doubles

if TYPE_CHECKING:
    from hybridrec.evaluation.judged_lists import JudgedLists, Key
    from hybridrec.runs.run import Run
    from hybridrec.splitting.mix import Stratum, Texts

SERVED, CHALLENGER = "served", ("policy", "tonight")


class Served(NamedTuple):
    """Rows of out_metrics and out_comparisons over the served users, and the users behind them by segment."""

    metrics: list[dict[str, object]]
    comparisons: list[Comparison]
    users: dict[str, int]
    judged: dict[str, int]


class Weighed(NamedTuple):
    """Means over the served users: float64 (n_columns,), and the same of resampled users, (samples, n_columns)."""

    means: Doubles
    resampled: Doubles


def weighed(values: Doubles, segments: Texts, groups: tuple[Stratum, ...], how: Resampling) -> Weighed:
    """Return column means weighted like the served users, float64 (n_users, n_columns).

    groups: strata of the segments; those without a user here are left out, one at least must have some.
    """
    here = [(group, users) for group in groups if (users := group.of(segments)).any()]
    total = sum(group.n_served for group, _ in here)
    means, resampled = np.zeros(values.shape[1]), np.zeros((how.samples, values.shape[1]))
    for number, (group, users) in enumerate(here):
        share, part = group.n_served / total, values[users]
        means += share * part.mean(axis=0)
        resampled += share * resampled_means(part, how.samples, how.seed + number)  # another seed: segments do not vary together
    return Weighed(means, resampled)


def judge_served(lists: JudgedLists, users: dict[str, int], k: int, how: Resampling) -> Served:
    """Return NDCG at k of each list, and of the lists as chosen against the best single retriever and popularity."""
    groups, judged = strata(lists.segments, users), judged_segments(lists.segments, users)
    if not groups:
        return Served([], [], users, judged)
    columns = {key: lists.quality(key, k) for key in lists.judged}
    weighed_means = weighed(np.stack(list(columns.values()), axis=1), lists.segments, groups, how)
    n_judged, at = sum(judged.values()), {key: column for column, key in enumerate(columns)}
    rows: list[dict[str, object]] = []
    for (kind, name), column in at.items():
        mean, low, high = interval(float(weighed_means.means[column]), weighed_means.resampled[:, column])
        row = {"kind": kind, "name": name, "segment": SERVED, "metric": f"ndcg@{k}", "value": mean, "low": low, "high": high}
        rows.append(row | {"n_users": n_judged})
    rivals = dict.fromkeys(key for key in (_best_retriever(weighed_means.means, at), ("source", POPULARITY)) if key in at)
    return Served(rows, [_difference(weighed_means, at, rival, k, n_judged) for rival in rivals], users, judged)


def compare_served(
    ours: Doubles, theirs: Doubles, names: tuple[str, str], segments: Texts, users: dict[str, int], k: int, how: Resampling
) -> list[Comparison]:
    """Return one list against another, NDCG of each judged user, over the served users; nothing if no segment is judged."""
    groups = strata(segments, users)
    if not groups:
        return []
    weighed_means = weighed((ours - theirs)[:, None], segments, groups, how)
    n_judged = sum(judged_segments(segments, users).values())
    return [_comparison(names, k, float(weighed_means.means[0]), weighed_means.resampled[:, 0], n_judged)]


def user_mixes(run: Run, judged: Texts, users: dict[str, int]) -> dict[str, dict[str, float]]:
    """Return the shares of the segments among the users served, those judged and those learnt from, before and after weighing.

    judged: segments of the holdout split's labelled users.
    """
    learnt = json.loads((run.artefact(LEARNT_MIX) / "mix.json").read_text())
    return {
        "served": mix_of(users),
        "judged_labelled": weighed_mix(judged, None),
        "judged": weighed_mix(judged, user_weights(judged, users)),
        "learnt_labelled": learnt["labelled"],
        "learnt": learnt["counted"],
    }


def _best_retriever(means: Doubles, at: dict[Key, int]) -> Key | None:
    """Return the retriever with the highest mean, the first by name of equals."""
    retrievers = sorted(key for key in at if key[0] == "source")
    return max(retrievers, key=lambda key: float(means[at[key]]), default=None)


def _difference(weighed_means: Weighed, at: dict[Key, int], rival: Key, k: int, n_judged: int) -> Comparison:
    ours, theirs = at[CHALLENGER], at[rival]
    difference = float(weighed_means.means[ours] - weighed_means.means[theirs])
    return _comparison(
        (CHALLENGER[1], rival[1]), k, difference, weighed_means.resampled[:, ours] - weighed_means.resampled[:, theirs], n_judged
    )


def _comparison(names: tuple[str, str], k: int, difference: float, resampled: Doubles, n_judged: int) -> Comparison:
    return Comparison(SERVED, *names, SERVED, f"ndcg@{k}", *interval(difference, resampled), n_users=n_judged)
