"""The promotion gate: whether the challenger replaces the champion, and whose ranker serves if it does not.

The challenger's policy, the champion's and popularity rank the same candidates of the holdout split. The challenger is promoted when it
is not clearly below popularity and, by the paired interval's lower end, loses no more than the tolerance against the
champion. Both rank the candidates of this run, so the gate compares ranking, not retrieval.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.groups import Floats
from hybridrec.evaluation.bootstrap import paired_difference
from hybridrec.evaluation.comparisons import POPULARITY, Comparison, Resampling
from hybridrec.evaluation.judged_lists import ALL
from hybridrec.evaluation.served import SERVED, compare_served
from hybridrec.metrics import metrics
from hybridrec.metrics.labels import LabelledCandidates, history_lengths, labelled_candidates
from hybridrec.metrics.metrics import judge
from hybridrec.policy.policy import Choice, Policy, load_policy, retriever_scores
from hybridrec.splitting.mix import SEGMENTS, Texts, segments_of, served_users
from hybridrec.storage import store
from hybridrec.strategies import weighted
from hybridrec.types import Doubles

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

log = logging.getLogger(__name__)
Serving = Literal["tonight", "champion", "blend", "popularity"]
CHALLENGER: Final = "tonight"  # as tables and promotion.json name it
BLEND = "weighted"


@dataclass(frozen=True)
class Champion:
    """The model bundle that the gate has promoted last: its version and its policy's folder, None if the folder is gone."""

    version: str
    folder: Path | None


@dataclass(frozen=True)
class Verdict:
    """The gate's outcome.

    serving: the policy that ranks the lists: the challenger's, the champion's, or if neither may, the equal-weight blend or popularity.
    reasons: sentences with figures. comparisons: the rows behind them.
    """

    promoted: bool
    serving: Serving
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]

    def as_json(self) -> dict[str, object]:
        """Return the content of promotion.json."""
        return asdict(self)


class Panel(NamedTuple):
    """The panel of judges: segments of the labelled users, the users served by segment, the length of the lists, how to resample."""

    segments: Texts
    served: dict[str, int]
    k: int
    how: Resampling


def judge_promotion(run: Run, challenger: Policy, champion: Champion | None) -> Verdict:
    """Judge the challenger's policy on the run's holdout split, weighed like the users served."""
    labelled, k = labelled_candidates(run, "holdout"), run.config.k
    segments = segments_of(history_lengths(run, "holdout", labelled.labels.users), run.config.light_max_items)
    panel = Panel(segments, served_users(run), k, Resampling(run.config.bootstrap_samples, run.config.seed))
    rival, notes = _champion_quality(champion, labelled, k)
    quality = (
        {CHALLENGER: _quality(challenger.score(labelled.candidates), labelled, k), BLEND: _blend_quality(labelled, k)}
        | _popular(labelled, k)
        | rival
    )
    rows = [_overall(CHALLENGER, theirs, quality, panel) for theirs in (POPULARITY, *rival) if theirs in quality]
    reasons = [*notes, *(replace(row, name="this night").text() for row in rows)]
    refusals = _refusals(rows, run.config.gate_tolerance)
    if champion is None:
        reasons.append("there is no champion yet")
    if not refusals:
        return Verdict(True, CHALLENGER, (*reasons, "promoted"), tuple(rows))
    serving = _stand_in(champion, notes, quality, panel)
    served = _beside_best_retriever(run, labelled, serving, quality[_rank_by(serving, champion)], panel)
    return Verdict(False, serving, (*reasons, *refusals, f"refused; the lists are ranked by {serving}"), (*rows, *served))


def stand_in_choices(serving: Serving, reason: str) -> dict[str, Choice]:
    """Return the choices of a policy that needs no fitted strategy."""
    choice = Choice("source", POPULARITY, reason) if serving == "popularity" else Choice("strategy", "weighted", reason)
    return dict.fromkeys(SEGMENTS, choice)


def _quality(scores: Floats, labelled: LabelledCandidates, k: int) -> Doubles:
    return metrics.ndcg(judge(labelled.candidates, scores, labelled.labels, k), k)


def _blend_quality(labelled: LabelledCandidates, k: int) -> Doubles:
    return _quality(weighted.Strategy(weighted.Config()).score(labelled.candidates), labelled, k)


def _popular(labelled: LabelledCandidates, k: int) -> dict[str, Doubles]:
    """Return NDCG of popularity's lists, if it is a retriever of this night."""
    if POPULARITY not in labelled.candidates.retrievers:
        return {}
    return {POPULARITY: _quality(retriever_scores(labelled.candidates, POPULARITY), labelled, k)}


def _champion_quality(champion: Champion | None, labelled: LabelledCandidates, k: int) -> tuple[dict[str, Doubles], list[str]]:
    """Return NDCG of the champion's lists; if it cannot rank these candidates, that of the equal-weight blend, and a note."""
    if champion is None:
        return {}, []
    try:
        if champion.folder is None:
            raise PermanentError("its files are gone from the artefact store")
        policy = load_policy(champion.folder)
        policy.require_fit(labelled.candidates)
        return {f"champion {champion.version}": _quality(policy.score(labelled.candidates), labelled, k)}, []
    except PermanentError as error:
        note = f"champion {champion.version} cannot rank these candidates, the equal-weight blend is compared in its place: {error}"
        log.warning(note)
        return {BLEND: _blend_quality(labelled, k)}, [note]


def _overall(ours: str, theirs: str, quality: dict[str, Doubles], panel: Panel) -> Comparison:
    """Return one policy against another over the users served; over all labelled users if too few speak for those."""
    for row in compare_served(quality[ours], quality[theirs], (ours, theirs), *panel):
        return replace(row, question="champion")
    difference = paired_difference(quality[ours], quality[theirs], panel.how.samples, panel.how.seed)
    return Comparison("champion", ours, theirs, ALL, f"ndcg@{panel.k}", *difference, n_users=len(quality[ours]))


def _rank_by(serving: Serving, champion: Champion | None) -> str:
    """Return the name under which the quality of a stand-in's lists is kept."""
    names = {"blend": BLEND, "popularity": POPULARITY}
    return names[serving] if serving in names or champion is None else f"champion {champion.version}"


def _beside_best_retriever(run: Run, labelled: LabelledCandidates, serving: Serving, ours: Doubles, panel: Panel) -> list[Comparison]:
    """Return the stand-in's lists against the single retriever that evaluate has found best, over the users who are served."""
    if not store.is_committed(run.dataset("out_comparisons")):
        return []
    rows = run.read("out_comparisons", columns=["question", "name", "against"]).to_pylist()
    best = next((row["against"] for row in rows if row["question"] == SERVED and row["against"] != POPULARITY), POPULARITY)
    if best not in labelled.candidates.retrievers:
        return []
    theirs = _quality(retriever_scores(labelled.candidates, best), labelled, panel.k)
    return compare_served(ours, theirs, (serving, best), *panel)


def _refusals(rows: list[Comparison], tolerance: float) -> list[str]:
    refusals = []
    for row in rows:
        if row.against == POPULARITY and row.high < 0:
            refusals.append("below popularity with the whole 95 % interval")
        elif row.against != POPULARITY and row.low < -tolerance:
            refusals.append(f"may lose more than {tolerance} against {row.against}: the interval starts at {row.low:+.4f}")
    return refusals


def _stand_in(champion: Champion | None, notes: list[str], quality: dict[str, Doubles], panel: Panel) -> Serving:
    """Choose the ranker if the challenger is refused: the champion if it can rank, else the blend unless it is below popularity."""
    if champion is not None and not notes:
        return "champion"
    if POPULARITY in quality and np.any(quality[POPULARITY]):
        return "popularity" if _overall(BLEND, POPULARITY, quality, panel).high < 0 else "blend"
    return "blend"
