"""The promotion gate: whether tonight's stack replaces the champion, and whose ranker serves if it does not.

Tonight's policy, the champion's policy and popularity rank the same pool of fold eval. Tonight's is promoted when it
is not clearly below popularity and, by the paired interval's lower end, loses no more than the tolerance against the
champion. The pool is tonight's for both, so what is compared is how candidates are ranked, not how they are found.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hybridrec.errors import BadData
from hybridrec.evaluation import metrics
from hybridrec.evaluation.bootstrap import Doubles
from hybridrec.evaluation.comparisons import POPULARITY, Comparison, Pair, Resampling, compare
from hybridrec.evaluation.labels import LabelledPool, labelled_pool
from hybridrec.evaluation.lists import ALL, JudgedLists
from hybridrec.evaluation.metrics import judge
from hybridrec.evaluation.night import judge_all
from hybridrec.ranking.policy import SEGMENTS, Choice, Policy, load_policy, source_scores
from hybridrec.strategies import weighted

if TYPE_CHECKING:
    from hybridrec.run import Run

log = logging.getLogger(__name__)
Serving = Literal["tonight", "champion", "blend", "popularity"]


@dataclass(frozen=True)
class Champion:
    """The stack that is live: its version and its policy's folder, None where that is gone."""

    version: str
    folder: Path | None


@dataclass(frozen=True)
class Verdict:
    """The gate's outcome.

    serving: whose policy ranks tonight's lists: tonight's, the champion's, or where neither may, the equal-weight
    blend or popularity. reasons: sentences with figures. comparisons: the rows behind them.
    """

    promoted: bool
    serving: Serving
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]

    def as_json(self) -> dict[str, object]:
        """For promotion.json."""
        return asdict(self)


def judge_promotion(run: Run, tonight: Policy, champion: Champion | None) -> Verdict:
    """Judge tonight's policy on the run's eval fold."""
    fold = labelled_pool(run, "eval")
    lists = judge_all(run, fold, {})
    k, how = run.config.k, Resampling(run.config.bootstrap_samples, run.config.seed)
    ours = _quality(tonight, fold, k)
    popular = _popular(fold, k)
    rival, notes = _champion_quality(champion, fold, k)
    rows = [] if popular is None else _overall("tonight", POPULARITY, ours, popular, lists, k, how)
    rows += [] if rival is None else _overall("tonight", _rival_name(champion, notes), ours, rival, lists, k, how)
    reasons = [*notes, *(row.text() for row in rows)]
    refusals = _refusals(rows, run.config.gate_tolerance)
    if champion is None:
        reasons.append("there is no champion yet")
    if not refusals:
        return Verdict(True, "tonight", (*reasons, "promoted"), tuple(rows))
    serving = _stand_in(champion, notes, fold, lists, k, how)
    return Verdict(False, serving, (*reasons, *refusals, f"refused; tonight's lists are ranked by {serving}"), tuple(rows))


def stand_in_choices(serving: Serving, reason: str) -> dict[str, Choice]:
    """The choices of a policy that needs no fitted strategy."""
    choice = Choice("source", POPULARITY, reason) if serving == "popularity" else Choice("strategy", "weighted", reason)
    return dict.fromkeys(SEGMENTS, choice)


def _quality(policy: Policy, fold: LabelledPool, k: int) -> Doubles:
    return metrics.ndcg(judge(fold.pool, policy.score(fold.pool), fold.labels, k), k)


def _popular(fold: LabelledPool, k: int) -> Doubles | None:
    if POPULARITY not in fold.pool.sources:
        return None
    return metrics.ndcg(judge(fold.pool, source_scores(fold.pool, POPULARITY), fold.labels, k), k)


def _champion_quality(champion: Champion | None, fold: LabelledPool, k: int) -> tuple[Doubles | None, list[str]]:
    """NDCG of the champion's lists; where it cannot rank tonight's pool, that of the equal-weight blend, and a note."""
    if champion is None:
        return None, []
    try:
        if champion.folder is None:
            raise BadData("its files are gone from the artefact store")
        policy = load_policy(champion.folder)
        policy.require_fit(fold.pool)
        return _quality(policy, fold, k), []
    except BadData as error:
        note = f"champion {champion.version} cannot rank tonight's pool, the equal-weight blend is compared in its place: {error}"
        log.warning(note)
        return _blend_quality(fold, k), [note]


def _blend_quality(fold: LabelledPool, k: int) -> Doubles:
    scores = weighted.Strategy(weighted.Config()).score(fold.pool)
    return metrics.ndcg(judge(fold.pool, scores, fold.labels, k), k)


def _rival_name(champion: Champion | None, notes: list[str]) -> str:
    return "weighted" if notes or champion is None else f"champion {champion.version}"


def _overall(name: str, against: str, ours: Doubles, theirs: Doubles, lists: JudgedLists, k: int, how: Resampling) -> list[Comparison]:
    return [row for row in compare([Pair("champion", name, against, k, ours - theirs)], lists, how) if row.segment == ALL]


def _refusals(rows: list[Comparison], tolerance: float) -> list[str]:
    found = []
    for row in rows:
        if row.against == POPULARITY and row.high < 0:
            found.append("below popularity with the whole 95 % interval")
        elif row.against != POPULARITY and row.low < -tolerance:
            found.append(f"may lose more than {tolerance} against {row.against}: the interval starts at {row.low:+.4f}")
    return found


def _stand_in(champion: Champion | None, notes: list[str], fold: LabelledPool, lists: JudgedLists, k: int, how: Resampling) -> Serving:
    """Who ranks when tonight's may not: the champion if it can, else the blend unless that is below popularity."""
    if champion is not None and not notes:
        return "champion"
    popular = _popular(fold, k)
    if popular is not None and np.any(popular):
        row = _overall("weighted", POPULARITY, _blend_quality(fold, k), popular, lists, k, how)[0]
        return "popularity" if row.high < 0 else "blend"
    return "blend"
