"""Share a segment between lists while it is open which of them is best.

The default stands against the equal-weight blend, the best other strategy and the best single retriever. If none is surely better than
it, each gets the share of resampled users on whom its mean NDCG is the highest: near to one for a list that leads in almost every
sample, equal shares where nothing tells them apart. (Bootstrap weights of models: Buckland, Burnham and Augustin, "Model selection: an
integral part of inference", Biometrics 1997.) A segment of users with history that has too few judged users takes the shares of all of
them, weighed like the users served.

The mix is judged by cross-fitting: each user's list has shares that were learnt without this user. If a list alone is better than that by
more than a standard error, it is published alone.
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
from hybridrec.policy.mixing import Kind, Part, ScoreList, comparable
from hybridrec.policy.policy import Choice, mix_of_lists
from hybridrec.splitting.mix import MIN_USERS, SEGMENTS, judged_segments, standard_error
from hybridrec.types import NO_ITEM, Doubles, Ints

BLEND: Key = ("strategy", "weighted")
FOLDS = 5
STEP = 0.05  # shares are multiples of it
Flags = NDArray[np.bool_]


class Shrunk(NamedTuple):
    """The choices, and the lists that a mix gives the judged users of a segment, int32 (n_users, depth), by cross-fitting."""

    choices: dict[str, Choice]
    items: dict[str, Ints]


class Open(NamedTuple):
    """Lists of which none is surely the best. quality: NDCG, float64 (n_users, n_lists); segments: of these users."""

    lists: tuple[Key, ...]
    quality: Doubles
    segments: NDArray[np.str_]


def shrink(
    choices: dict[str, Choice],
    lists: JudgedLists,
    candidates: CandidateSet,
    score_list: ScoreList,
    served: dict[str, int],
    k: int,
    how: Resampling,
) -> Shrunk:
    """Return the choices with a mix, or a list that leads in almost every sample, for each segment whose choice is open."""
    default, found, items = default_list(lists), dict(choices), {}
    for segment in SEGMENTS:
        pool = _pool(lists.segments, segment, served)
        if pool is None or (choices[segment].kind, choices[segment].name) != default:
            continue
        rivals = _rivals(lists, pool, k)
        shares = _shares(rivals, served, how)
        if shares.max() >= 1:
            found[segment] = _alone(choices[segment], rivals, int(shares.argmax()), "leads on almost all resampled users")
            continue
        users = lists.segments == segment
        mixed = _cross_fitted(rivals, pool, users, lists, candidates, score_list, served, how) if users.any() else None
        quality = np.zeros(0) if mixed is None else metrics.ndcg(mixed, k)
        found[segment] = _chosen(choices[segment], rivals, rivals.quality[users[pool]], shares, quality, k)
        if found[segment].parts and mixed is not None:
            items[segment] = mixed.items
    return Shrunk(found, items)


def with_chosen(lists: JudgedLists, choices: dict[str, Choice], mixed: dict[str, Ints]) -> JudgedLists:
    """Return the lists with those that the judged users would be served, as policy `tonight`; mixed: see Shrunk."""
    items = np.full((len(lists.segments), max(lists.ks)), NO_ITEM, dtype=np.int32)
    for segment, choice in choices.items():
        users = lists.segments == segment
        key = (choice.kind, choice.name)
        items[users] = lists.judged[key].items[users] if key in lists.judged else mixed.get(segment, items[users])
    return replace(lists, judged=lists.judged | {CHALLENGER: metrics.judge_items(items, lists.labels)})


def _pool(segments: NDArray[np.str_], segment: str, served: dict[str, int]) -> Flags | None:
    """Mark the users from whom a segment's shares are learnt; None if there are too few."""
    own = segments == segment
    if own.sum() >= MIN_USERS:
        return own
    known = _known(served)
    judged = judged_segments(segments, known) if segment in known else {}
    return np.isin(segments, list(judged)) | own if judged else None


def _known(served: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in served.items() if name != "none" and n}


def _rivals(lists: JudgedLists, pool: Flags, k: int) -> Open:
    default = default_list(lists)
    means = {key: float(lists.quality(key, k)[pool].mean()) for key in lists.judged}
    strategies = [key for key in means if key[0] == "strategy" and key not in (default, BLEND)]
    singles = [key for key in sorted(means) if key[0] == "source"]
    best = [max(of_kind, key=lambda key: means[key]) for of_kind in (strategies, singles) if of_kind]
    rivals = tuple(dict.fromkeys([default, *([BLEND] if BLEND in means else []), *best]))
    return Open(rivals, np.stack([lists.quality(key, k)[pool] for key in rivals], axis=1), lists.segments[pool])


def _shares(rivals: Open, served: dict[str, int], how: Resampling) -> Doubles:
    """Return each list's share of the samples that it leads, in whole steps; equal lists share what they lead together."""
    if len(set(rivals.segments.tolist())) > 1 and _known(served):
        resampled = weighed(rivals.quality, rivals.segments, _known(served), how).resampled
    else:
        resampled = resampled_means(rivals.quality, how.samples, how.seed)
    leads = resampled >= resampled.max(axis=1, keepdims=True)
    steps = np.round((leads / leads.sum(axis=1, keepdims=True)).mean(axis=0) / STEP)
    return np.asarray(steps / steps.sum(), dtype=np.float64)


def _cross_fitted(
    rivals: Open,
    pool: Flags,
    users: Flags,
    lists: JudgedLists,
    candidates: CandidateSet,
    score_list: ScoreList,
    served: dict[str, int],
    how: Resampling,
) -> metrics.Judged:
    """Return the mixed lists of a segment's users, each by shares that were learnt without the user."""
    fold = np.random.default_rng(how.seed).permutation(len(pool)) % FOLDS
    shares = np.zeros((len(pool), len(rivals.lists)))
    for number in range(FOLDS):
        left = fold[pool] != number
        shares[fold == number] = _shares(Open(rivals.lists, rivals.quality[left], rivals.segments[left]), served, how)
    labels = lists.labels_of(users)
    part = candidates.rows_of(labels.users)
    rows = shares[np.searchsorted(lists.labels.users, part.row_users)]  # (n_rows, n_lists)
    scores = np.zeros(len(part.items))
    for column, (kind, name) in enumerate(rivals.lists):
        scores += rows[:, column] * comparable(part, cast(Kind, kind), name, score_list)
    return metrics.judge(part, scores.astype(np.float32), labels, max(lists.ks))


def _chosen(choice: Choice, rivals: Open, own: Doubles, shares: Doubles, mixed: Doubles, k: int) -> Choice:
    """Return the mix, or the best list alone if it is better than the mix by more than a standard error.

    own, mixed: NDCG of the segment's users by each rival, (n_users, n_lists), and by the mix, (n_users,).
    """
    if len(own) >= MIN_USERS:
        best = int(own.mean(axis=0).argmax())
        ahead = own[:, best] - mixed
        if float(ahead.mean()) > standard_error(ahead, None):
            return _alone(choice, rivals, best, "is better than a mix by more than a standard error")
    parts = tuple(Part(cast(Kind, kind), name, float(share)) for (kind, name), share in zip(rivals.lists, shares, strict=True) if share > 0)
    told = ", ".join(f"{part.name} {part.share:.0%}" for part in parts)
    beside = ""
    if len(own):
        alone = ", ".join(f"{name} {value:.4f}" for (_, name), value in zip(rivals.lists, own.mean(axis=0), strict=True))
        beside = f". Cross-fitted: ndcg@{k} {mixed.mean():.4f}, alone {alone}, {len(own)} users"
    return mix_of_lists(parts, f"it is open which list is best, so each has the share of samples that it leads: {told}{beside}")


def _alone(choice: Choice, rivals: Open, best: int, why: str) -> Choice:
    kind, name = rivals.lists[best]
    if (kind, name) == (choice.kind, choice.name):
        return choice
    return Choice(cast(Kind, kind), name, f"{name} {why}. Instead of {choice.name}: {choice.reason}")
