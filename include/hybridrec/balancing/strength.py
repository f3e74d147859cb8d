"""The strength of an objective: the largest whose loss of NDCG is surely small, judged on the holdout split's labels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.evaluation.bootstrap import Interval, paired_difference
from hybridrec.metrics.labels import labelled_candidates
from hybridrec.metrics.metrics import Labels, best_items, judge_items, ndcg
from hybridrec.objectives import standard_worth
from hybridrec.policy.boost import ARTEFACT, Boost, boosted, write_boost
from hybridrec.policy.policy import Choice, Policy
from hybridrec.storage import store
from hybridrec.strategies import Strategy
from hybridrec.types import NO_ITEM

if TYPE_CHECKING:
    import pandas as pd

    from hybridrec.runs.run import Run

log = logging.getLogger(__name__)


class Tried(NamedTuple):
    """A strength, its paired difference in NDCG at k, and the mean worth of the items of a list, in standard deviations."""

    strength: float
    difference: Interval
    worth: float


def write_night_boost(run: Run, choices: dict[str, Choice], ready: dict[str, Strategy]) -> None:
    """Choose the strength for the night's policy and keep it as an artefact of the run; nothing without an objective."""
    objective = run.config.objective
    if not objective.name:
        return
    labelled, policy = labelled_candidates(run, "holdout"), Policy(choices, ready, run.config.light_max_items)
    z = standard_worth(objective.name, known_items(run, "holdout"), run.split("holdout").cut)
    tried = try_strengths(labelled.candidates, policy.score(labelled.candidates), labelled.labels, z, run)
    strength = chosen(tried, objective.max_loss)
    figures: dict[str, object] = {
        "objective": objective.name,
        "metric": f"ndcg@{run.config.k}",
        "max_loss": objective.max_loss,
        "n_users": len(labelled.labels.users),
        "tried": [
            {"strength": one.strength, "worth": one.worth} | dict(zip(("difference", "low", "high"), one.difference, strict=True))
            for one in tried
        ],
    }
    tonight = Boost(strength, standard_worth(objective.name, known_items(run, "full"), run.manifest.as_of))
    with run.staged(ARTEFACT) as folder:
        write_boost(folder, tonight, figures)
    log.info("objective %s: strength %g of %s", objective.name, strength, [one.strength for one in tried])


def try_strengths(candidates: CandidateSet, scores: Floats, labels: Labels, z: Floats, run: Run) -> list[Tried]:
    """Return what each strength costs against none, rising; the first is none."""
    k, samples, seed = run.config.k, run.config.bootstrap_samples, run.config.seed
    tried = []
    plain = None
    for strength in (0.0, *sorted(run.config.objective.strengths)):
        items = best_items(candidates, boosted(scores, candidates, Boost(strength, z)), labels.users, k)
        quality = ndcg(judge_items(items, labels), k)
        plain = quality if plain is None else plain
        tried.append(Tried(float(strength), paired_difference(quality, plain, samples, seed), mean_worth(items, z)))
    return tried


def chosen(tried: list[Tried], max_loss: float) -> float:
    """Return the largest strength whose interval stays above -max_loss; 0 if none does."""
    return max((one.strength for one in tried if one.strength == 0 or one.difference.low > -max_loss), default=0.0)


def mean_worth(items: NDArray[np.int32], z: Floats) -> float:
    """Return the mean worth of the items of all lists, (n_users, k), NO_ITEM pads."""
    listed = items[items != NO_ITEM]
    return float(z[listed].mean()) if len(listed) else 0.0


def known_items(run: Run, split: str) -> pd.DataFrame:
    """Return the catalogue as objectives see it at a split's cut."""
    items: pd.DataFrame = run.read("model_items", columns=["item_idx", "item_id", "price", "released_at"]).sort_by("item_idx").to_pandas()
    features = run.read("model_item_features", split, ["item_idx", "item_age_days", "item_n_users"]).to_pandas().set_index("item_idx")
    features = features.reindex(items["item_idx"].to_numpy())
    since_release = (run.split(split).cut - items["released_at"]).dt.total_seconds().to_numpy() / 86_400
    age = np.where(np.isnan(since_release), features["item_age_days"].to_numpy(), since_release)
    return items.assign(age_days=age, n_users=features["item_n_users"].fillna(0).to_numpy(), margin=_margins(run, items["item_id"]))


def _margins(run: Run, item_ids: pd.Series[str]) -> NDArray[np.float64]:
    """Return the margin of each item, NaN without one; a catalogue from before there was such a column has none."""
    import pyarrow.dataset as ds

    known = "core_items" in run.manifest.inputs or store.is_committed(run.dataset("core_items"))
    data = ds.dataset(run.files("core_items"), format="parquet", partitioning=None) if known else None
    if data is None or "margin" not in data.schema.names:
        return np.full(len(item_ids), np.nan)
    rows = data.to_table(columns=["item_id", "margin"]).to_pandas().drop_duplicates("item_id").set_index("item_id")
    return np.asarray(rows["margin"].reindex(item_ids).to_numpy(dtype=np.float64))
