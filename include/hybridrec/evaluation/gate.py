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
from hybridrec.evaluation.comparisons import POPULARITY, Comparison, Pair, Resampling, compare
from hybridrec.evaluation.labels import LabelledPool, labelled_pool
from hybridrec.evaluation.lists import ALL, JudgedLists, Key
from hybridrec.evaluation.metrics import Judged, judge
from hybridrec.evaluation.night import judge_all
from hybridrec.ranking.policy import SEGMENTS, Choice, Policy, load_policy
from hybridrec.strategies import weighted

if TYPE_CHECKING:
    from hybridrec.run import Run

log = logging.getLogger(__name__)
Serving = Literal["tonight", "champion", "blend", "popularity"]
TONIGHT, BLEND, POPULAR = ("policy", "tonight"), ("policy", "weighted"), ("source", POPULARITY)


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
    k, how = run.config.k, Resampling(run.config.bootstrap_samples, run.config.seed)
    rival, notes = _champion_list(champion, fold, k)
    ours = {TONIGHT: _judged(tonight, fold, k), BLEND: _blend(fold, k)}
    lists = judge_all(run, fold, {}).beside(ours | rival)
    rows = [row for theirs in (POPULAR, *rival) if theirs in lists.judged for row in _overall(TONIGHT, theirs, lists, k, how)]
    reasons = [*notes, *(row.text() for row in rows)]
    refusals = _refusals(rows, run.config.gate_tolerance)
    if champion is None:
        reasons.append("there is no champion yet")
    if not refusals:
        return Verdict(True, "tonight", (*reasons, "promoted"), tuple(rows))
    serving = _stand_in(champion, notes, lists, k, how)
    return Verdict(False, serving, (*reasons, *refusals, f"refused; tonight's lists are ranked by {serving}"), tuple(rows))


def stand_in_choices(serving: Serving, reason: str) -> dict[str, Choice]:
    """The choices of a policy that needs no fitted strategy."""
    choice = Choice("source", POPULARITY, reason) if serving == "popularity" else Choice("strategy", "weighted", reason)
    return dict.fromkeys(SEGMENTS, choice)


def _judged(policy: Policy, fold: LabelledPool, k: int) -> Judged:
    return judge(fold.pool, policy.score(fold.pool), fold.labels, k)


def _blend(fold: LabelledPool, k: int) -> Judged:
    return judge(fold.pool, weighted.Strategy(weighted.Config()).score(fold.pool), fold.labels, k)


def _champion_list(champion: Champion | None, fold: LabelledPool, k: int) -> tuple[dict[Key, Judged], list[str]]:
    """The champion's lists; where it cannot rank tonight's pool, those of the equal-weight blend, and a note."""
    if champion is None:
        return {}, []
    try:
        if champion.folder is None:
            raise BadData("its files are gone from the artefact store")
        policy = load_policy(champion.folder)
        policy.require_fit(fold.pool)
        return {("policy", f"champion {champion.version}"): _judged(policy, fold, k)}, []
    except BadData as error:
        note = f"champion {champion.version} cannot rank tonight's pool, the equal-weight blend is compared in its place: {error}"
        log.warning(note)
        return {BLEND: _blend(fold, k)}, [note]


def _overall(ours: Key, theirs: Key, lists: JudgedLists, k: int, how: Resampling) -> list[Comparison]:
    return compare([Pair("champion", ours, theirs, k)], lists, ALL, how)


def _refusals(rows: list[Comparison], tolerance: float) -> list[str]:
    found = []
    for row in rows:
        if row.against == POPULARITY and row.high < 0:
            found.append("below popularity with the whole 95 % interval")
        elif row.against != POPULARITY and row.low < -tolerance:
            found.append(f"may lose more than {tolerance} against {row.against}: the interval starts at {row.low:+.4f}")
    return found


def _stand_in(champion: Champion | None, notes: list[str], lists: JudgedLists, k: int, how: Resampling) -> Serving:
    """Who ranks when tonight's may not: the champion if it can, else the blend unless that is below popularity."""
    if champion is not None and not notes:
        return "champion"
    if POPULAR in lists.judged and np.any(lists.quality(POPULAR, k)):
        return "popularity" if _overall(BLEND, POPULAR, lists, k, how)[0].high < 0 else "blend"
    return "blend"
