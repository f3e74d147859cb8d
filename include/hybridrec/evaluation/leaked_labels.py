"""Leak alarms about labels: no column of the candidates tells them by itself, no ranker learns any that mean nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.errors import Leak
from hybridrec.candidates.candidate_set import CandidateSet, load_candidates
from hybridrec.candidates.groups import Floats, best_first, group_sums, rank_score, spread, starts_of
from hybridrec.metrics import metrics
from hybridrec.metrics.labels import labels_of, load_labels, sample_users
from hybridrec.metrics.metrics import Labels, judge, row_gains
from hybridrec.ranking.ranker_fit import Config, fit_ranker
from hybridrec.runs.run import Run

SHUFFLED_USERS = 400
FALSE_ALARM = 1e-6  # a night: of three thousand years of nights one
MIN_LEARNERS = 24  # a few more than a ranker needs to learn anything
LEARNER = Config(rounds=20, mix=1.0, bags=1, max_rows=40_000)
TOO_GOOD, MIN_JUDGED = 0.98, 20  # see require_not_too_good


class Finding(NamedTuple):
    """Checks of an alarm that stayed silent, for the report."""

    alarm: str
    detail: str


def require_not_too_good(run: Run, split: str) -> Finding:
    """Raise Leak if a column of the candidates by itself puts nearly all labels before the other candidates, which only the labels can."""
    labels = load_labels(run, split)
    candidates = load_candidates(run, split, sample_users(labels, SHUFFLED_USERS // 4, run.config.seed))
    quality = {name: column_quality(candidates, values, row_gains(candidates, labels) > 0) for name, values in candidates.features.items()}
    return _require_below(quality, split)


def column_quality(candidates: CandidateSet, values: Floats, hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of a user's other candidates that the column puts below each label, a mean for each user who has both; the AUC.

    0.5: it says nothing. A missing value is below all others, equal values are half below.
    """
    filled = np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    n = spread(np.diff(candidates.starts).astype(np.float64), candidates.starts)
    above = (1 - rank_score(filled, candidates.starts)) * n
    n_hits = group_sums(hits.astype(np.float64), candidates.starts)
    n_other = np.diff(candidates.starts) - n_hits
    both = (n_hits > 0) & (n_other > 0)
    others_above = group_sums(np.where(hits, above, 0.0), candidates.starts) - n_hits * (n_hits - 1) / 2
    return np.asarray(1 - others_above[both] / (n_hits * n_other)[both], dtype=np.float64)


def _require_below(quality: dict[str, NDArray[np.float64]], split: str) -> Finding:
    n_users = len(next(iter(quality.values())))
    means = {name: max(float(of.mean()), 1 - float(of.mean())) for name, of in quality.items()} if n_users else {"no column": 0.5}
    best = max(sorted(means), key=lambda name: means[name])
    good = [name for name in sorted(means) if means[name] >= TOO_GOOD]
    if good and n_users >= MIN_JUDGED:
        raise Leak(
            f"split {split}: {', '.join(good)} of the candidates puts the labels of {n_users} users before their other candidates in "
            f"{means[best]:.1%} of all pairs, and nothing that has not seen them comes near {TOO_GOOD:.0%}; correct what computes "
            "it, or leave the model out with HYBRIDREC_SKIP, and start a new run"
        )
    return Finding(
        "single columns",
        f"split {split}: the best, {best}, orders {means[best]:.0%} of the pairs of {n_users} users; {TOO_GOOD:.0%} would be a leak",
    )


def require_unlearnable_night(run: Run) -> Finding:
    """Raise Leak if the way from the run's tables to a fitted ranker lets labels be learnt that mean nothing; see require_unlearnable."""
    split = run.splits[0]
    labels = load_labels(run, split)
    users = sample_users(labels, SHUFFLED_USERS, run.config.seed)

    def build(labels: Labels) -> CandidateSet:
        with _with_labels(run, split, labels) as shuffled:
            return load_candidates(shuffled, split, users)

    learnt = require_unlearnable(build, labels_of(labels, users), LEARNER, run.config.k, run.config.seed)
    if learnt.n_users <= learnt.limit**2:
        return Finding(
            "shuffled labels", f"split {split}: {learnt.n_users} users to judge by are too few to tell what was learnt from chance"
        )
    return Finding(
        "shuffled labels",
        f"split {split}: ndcg {learnt.mean:+.4f} above chance over {learnt.n_users} users, {learnt.score:.1f} of {learnt.limit:.1f}",
    )


@contextmanager
def _with_labels(run: Run, split: str, labels: Labels) -> Iterator[Run]:
    """Yield the run with other labels of the split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    class Relabelled(Run):
        """Reads these labels and leaves the rest as it is."""

        def files(self, name: str, part: str = "") -> list[str]:
            return [str(path)] if (name, part) == ("model_labels", split) else super().files(name, part)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.parquet"
        columns = {"user_idx": np.repeat(labels.users, np.diff(labels.starts)), "item_idx": labels.items, "gain": labels.gains}
        pq.write_table(pa.table(columns | {"position": pa.nulls(len(labels.items), pa.int32())}), path)
        yield Relabelled(run.manifest, run.settings)


class Chance(NamedTuple):
    """Margin of a ranker of shuffled labels over chance: its mean NDCG, the number of users, the test's score and its limit."""

    mean: float
    n_users: int
    score: float
    limit: float


def above_chance(differences: NDArray[np.float64], false_alarm: float = FALSE_ALARM) -> Chance:
    """Hold differences between two lists of equal chances, one a user, against 0.

    They are independent and as often below 0 as above by as much, so their sum over the root of their squares' sum reaches
    sqrt(2 log(1 / false_alarm)) with at most that probability, however few or skewed they are (Efron, "Student's t-test
    under symmetry conditions", JASA 1969; de la Pena, Lai and Shao, "Self-normalized processes", 2009).
    """
    size = float(np.sqrt((differences**2).sum()))
    score = float(differences.sum()) / size if size else 0.0
    return Chance(
        float(differences.mean()) if len(differences) else 0.0, len(differences), score, float(np.sqrt(2 * np.log(1 / false_alarm)))
    )


def require_unlearnable(build: Callable[[Labels], CandidateSet], labels: Labels, config: Config, k: int, seed: int) -> Chance:
    """Raise Leak if a ranker learns labels that were drawn at random.

    build: the way from labels to the candidates that is under suspicion; an honest one does not look at them. Each user's
    labels are moved to random candidates first. The ranker, its trees alone, learns from a third of the users and is judged
    on the others, against the candidates in random order.
    """
    generator = np.random.default_rng(seed)
    shuffled = shuffle_labels(build(labels), labels, generator)
    n_learners = max(len(shuffled.users) // 3, min(MIN_LEARNERS, len(shuffled.users) // 2))
    too_few = above_chance(np.zeros(len(shuffled.users) - n_learners))
    if too_few.n_users <= too_few.limit**2:  # even users who all agree could not be told from chance
        return too_few
    candidates = build(shuffled)
    learning = np.sort(generator.permutation(shuffled.users)[:n_learners])
    learners, judged = candidates.rows_of(learning), candidates.rows_of(np.setdiff1d(shuffled.users, learning))
    ranker, _ = fit_ranker(learners, row_gains(learners, shuffled), replace(config, mix=1.0), seed, threads=1)
    of_judged = labels_of(shuffled, judged.users)
    by_chance = generator.random(len(judged.items)).astype(np.float32)
    ours = metrics.ndcg(judge(judged, ranker.score(judged), of_judged, k), k)
    theirs = metrics.ndcg(judge(judged, by_chance, of_judged, k), k)
    learnt = above_chance(ours - theirs)
    if learnt.score > learnt.limit:
        best = _most_used(judged, row_gains(judged, shuffled) > 0)
        raise Leak(
            f"labels drawn at random were learnt: ndcg@{k} {learnt.mean:+.4f} above chance over {learnt.n_users} users; a feature has seen "
            f"the labels, most of all {best}; correct what computes it and start a new run"
        )
    return learnt


def _most_used(candidates: CandidateSet, hits: NDArray[np.bool_]) -> str:
    """Return the column that tells these labels best."""
    quality = {
        name: abs(float(column_quality(candidates, values, hits).mean()) - 0.5) for name, values in sorted(candidates.features.items())
    }
    return max(quality, key=lambda name: quality[name])


def shuffle_labels(candidates: CandidateSet, labels: Labels, generator: np.random.Generator) -> Labels:
    """Draw as many labels for each user of the candidates as before, with the same gains, on random candidates."""
    gains = row_gains(candidates, labels)
    draws = generator.random(len(gains)).astype(np.float32)
    by_draw, _ = best_first(draws, candidates.items, candidates.starts)
    moved = gains[by_draw]  # groups keep their positions, rows change within them
    rows = np.flatnonzero(moved > 0)
    users = candidates.row_users[rows]
    starts = starts_of(users)
    return Labels(users[starts[:-1]], starts, candidates.items[rows], moved[rows])
