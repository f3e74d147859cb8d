"""Share a segment between lists while it is open which of them is best.

The default stands against the equal-weight blend, the best other strategy and the best single retriever. If none is surely better than
it, each gets the share of resampled users on whom its mean NDCG is the highest: near to one for a list that leads in almost every
sample, equal shares if nothing tells them apart. (Bootstrap weights of models: Buckland, Burnham and Augustin, "Model selection: an
integral part of inference", Biometrics 1997.) The best of many retrievers owes some of its lead to chance, so its lead is first shrunk
towards the mean of them all, and so is the best other strategy's (empirical Bayes: Efron and Morris, "Data analysis using Stein's
estimator and its generalizations", JASA 1975). A segment of users with history that has too few judged users takes the shares of all of
them, weighed like the users served.

The ensemble is judged by cross-fitting: each user's list has shares that were learnt without this user. A list alone that is better by more
than a standard error is published alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.evaluation.bootstrap import resampled_means
from hybridrec.evaluation.comparisons import Resampling, default_list
from hybridrec.evaluation.judged_lists import JudgedLists, Key
from hybridrec.evaluation.served import CHALLENGER, weighed
from hybridrec.metrics import metrics
from hybridrec.policy.ensemble import Kind, Part, ScoreList, comparable
from hybridrec.policy.policy import Choice, ensemble_of
from hybridrec.splitting.mix import MIN_USERS, SEGMENTS, Stratum, judged_segments, standard_error, strata
from hybridrec.types import NO_ITEM, Doubles, Ints

BLEND: Key = ("strategy", "weighted")
FOLDS = 5
STEP = 0.05  # shares are multiples of it
Flags = NDArray[np.bool_]


class Shrunk(NamedTuple):
    """The choices, and the lists that an ensemble gives the judged users of a segment, int32 (n_users, depth), by cross-fitting."""

    choices: dict[str, Choice]
    items: dict[str, Ints]


class Open(NamedTuple):
    """Lists of which none is surely the best, the default first.

    quality: NDCG, float64 (n_users, n_lists). segments: of these users. groups: their strata among users with a history, none if all
    users count alike. towards, kept: each list's lead over the default is shrunk towards this lead, and keeps this share of the distance,
    (n_lists,) each.
    """

    lists: tuple[Key, ...]
    quality: Doubles
    segments: NDArray[np.str_]
    groups: tuple[Stratum, ...]
    towards: Doubles
    kept: Doubles

    def of(self, users: Flags) -> Open:
        """Return the same for some of the users."""
        return self._replace(quality=self.quality[users], segments=self.segments[users])


def shrink(
    choices: dict[str, Choice],
    lists: JudgedLists,
    candidates: CandidateSet,
    score_list: ScoreList,
    served: dict[str, int],
    k: int,
    how: Resampling,
) -> Shrunk:
    """Return the choices with an ensemble, or a list that leads in almost every sample, for each segment whose choice is open."""
    default, found, items = default_list(lists), dict(choices), {}
    for segment in SEGMENTS:
        pool = _pool(lists.segments, segment, served)
        if pool is None or (choices[segment].kind, choices[segment].name) != default:
            continue
        rivals = _rivals(lists, pool, served, k)
        shares = _shares(rivals, how)
        if shares.max() >= 1:
            found[segment] = _alone(choices[segment], rivals, int(shares.argmax()), "leads on almost all resampled users")
            continue
        users = lists.segments == segment
        joined = _cross_fitted(rivals, pool, users, lists, candidates, score_list, how) if users.any() else None
        quality = np.zeros(0) if joined is None else metrics.ndcg(joined, k)
        found[segment] = _chosen(choices[segment], rivals, rivals.quality[users[pool]], shares, quality, k)
        if found[segment].parts and joined is not None:
            items[segment] = joined.items
    return Shrunk(found, items)


def with_chosen(lists: JudgedLists, choices: dict[str, Choice], joined: dict[str, Ints]) -> JudgedLists:
    """Return the lists with those that the judged users would be served, as policy `tonight`; joined: see Shrunk."""
    items = np.full((len(lists.segments), max(lists.ks)), NO_ITEM, dtype=np.int32)
    for segment, choice in choices.items():
        users = lists.segments == segment
        key = (choice.kind, choice.name)
        items[users] = lists.judged[key].items[users] if key in lists.judged else joined.get(segment, items[users])
    return replace(lists, judged=lists.judged | {CHALLENGER: metrics.judge_items(items, lists.labels)})


def _pool(segments: NDArray[np.str_], segment: str, served: dict[str, int]) -> Flags | None:
    """Mark the users from whom a segment's shares are learnt; None if there are too few."""
    own: Flags = np.asarray(segments == segment)
    if own.sum() >= MIN_USERS:
        return own
    known = _known(served)
    judged = judged_segments(segments, known) if segment in known else {}
    return np.asarray(np.isin(segments, list(judged)) | own, dtype=np.bool_) if judged else None


def _known(served: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in served.items() if name != "none" and n}


def _rivals(lists: JudgedLists, pool: Flags, served: dict[str, int], k: int) -> Open:
    """Return the default and its rivals; a list that is as good as the default for every user is none."""
    default, quality = default_list(lists), {key: lists.quality(key, k)[pool] for key in lists.judged}
    priors = {default: (0.0, 1.0)} | ({BLEND: (0.0, 1.0)} if BLEND in quality else {})
    for kind in ("strategy", "source"):
        alike = [key for key in sorted(quality) if key[0] == kind and key not in priors]
        if alike:
            ahead = np.stack([quality[key] - quality[default] for key in alike], axis=1)
            best = int(ahead.mean(axis=0).argmax())
            priors[alike[best]] = _prior(ahead, best)
    priors = {key: prior for key, prior in priors.items() if key == default or (quality[key] != quality[default]).any()}
    towards, kept = np.array(list(priors.values())).T
    segments = lists.segments[pool]
    groups = strata(segments, _known(served)) if len(set(segments.tolist())) > 1 else ()
    return Open(tuple(priors), np.stack([quality[key] for key in priors], axis=1), segments, groups, towards, kept)


def _prior(ahead: Doubles, best: int) -> tuple[float, float]:
    """Return the mean lead of lists of a kind, and the share of its distance from there that the best one keeps.

    ahead: NDCG over that of the default, (n_users, n_lists).
    """
    means, errors = ahead.mean(axis=0), ahead.var(axis=0, ddof=1) / len(ahead)
    if len(means) == 1 or errors[best] == 0:
        return 0.0, 1.0
    true = max(float(means.var(ddof=1) - errors.mean()), 0.0)
    return float(means.mean()), true / (true + float(errors[best]))


def _shares(rivals: Open, how: Resampling) -> Doubles:
    """Return each list's share of the samples that it leads, in whole steps; equal lists share what they lead together."""
    if any(group.of(rivals.segments).any() for group in rivals.groups):
        resampled = weighed(rivals.quality, rivals.segments, rivals.groups, how).resampled
    else:
        resampled = resampled_means(rivals.quality, how.samples, how.seed)
    ahead = resampled - resampled[:, :1]
    centre = ahead.mean(axis=0)
    ahead = rivals.towards + rivals.kept * (centre - rivals.towards) + np.sqrt(rivals.kept) * (ahead - centre)
    leads = ahead >= ahead.max(axis=1, keepdims=True)
    steps = np.round((leads / leads.sum(axis=1, keepdims=True)).mean(axis=0) / STEP)
    return np.asarray(steps / steps.sum(), dtype=np.float64)


def _cross_fitted(
    rivals: Open,
    pool: Flags,
    users: Flags,
    lists: JudgedLists,
    candidates: CandidateSet,
    score_list: ScoreList,
    how: Resampling,
) -> metrics.Judged:
    """Return the joined lists of a segment's users, each by shares that were learnt without the user."""
    fold = np.random.default_rng(how.seed).permutation(len(pool)) % FOLDS
    shares = np.zeros((len(pool), len(rivals.lists)))
    for number in range(FOLDS):
        shares[fold == number] = _shares(rivals.of(fold[pool] != number), how)
    labels = lists.labels_of(users)
    part = candidates.rows_of(labels.users)
    rows = shares[np.searchsorted(lists.labels.users, part.row_users)]  # (n_rows, n_lists)
    scores = np.zeros(len(part.items))
    for column, (kind, name) in enumerate(rivals.lists):
        scores += rows[:, column] * comparable(part, cast(Kind, kind), name, score_list)
    return metrics.judge(part, scores.astype(np.float32), labels, max(lists.ks))


def _chosen(choice: Choice, rivals: Open, own: Doubles, shares: Doubles, joined: Doubles, k: int) -> Choice:
    """Return the ensemble, or the best list alone if it is better than that by more than a standard error.

    own, joined: NDCG of the segment's users by each rival, (n_users, n_lists), and by the ensemble, (n_users,).
    """
    if len(own) >= MIN_USERS:
        best = int(own.mean(axis=0).argmax())
        ahead = own[:, best] - joined
        if float(ahead.mean()) > standard_error(ahead, None):
            return _alone(choice, rivals, best, "is better than an ensemble by more than a standard error")
    parts = tuple(Part(cast(Kind, kind), name, float(share)) for (kind, name), share in zip(rivals.lists, shares, strict=True) if share > 0)
    told = ", ".join(f"{part.name} {part.share:.0%}" for part in parts)
    beside = ""
    if len(own):
        alone = ", ".join(f"{name} {value:.4f}" for (_, name), value in zip(rivals.lists, own.mean(axis=0), strict=True))
        beside = f". Cross-fitted: ndcg@{k} {joined.mean():.4f}, alone {alone}, {len(own)} users"
    return ensemble_of(parts, f"it is open which list is best, so each has the share of samples that it leads: {told}{beside}")


def _alone(choice: Choice, rivals: Open, best: int, why: str) -> Choice:
    kind, name = rivals.lists[best]
    if (kind, name) == (choice.kind, choice.name):
        return choice
    return Choice(cast(Kind, kind), name, f"{name} {why}. Instead of {choice.name}: {choice.reason}")
