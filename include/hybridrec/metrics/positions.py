"""Estimate how likely each position of a shown list is examined, and the weight of a label at each position.

The position-based model (Craswell, Zoeter, Taylor and Ramsey 2008, An experimental comparison of click position-bias
models): a click needs an examination, whose chance depends on the position alone, and an appeal, which depends on the item alone.

    clicks[item, position] = impressions[item, position] * appeal[item] * propensity[position]

Propensities and appeals are fitted in turns, each position's clicks against those that its items' appeals promise, so an item's appeal
does not count for its position. Wang, Golbandi, Bendersky, Metzler and Najork 2018, Position bias estimation for unbiased learning to rank
in personal search, fit the same model by expectation-maximisation, which is slow where clicks are rare. A label then weighs one over its
place's chance (Joachims, Swaminathan and Schnabel 2017, Unbiased learning-to-rank with biased feedback), up to a limit: small propensities
make wild weights.

If the shown list was made for the user, the appeal of its top is attributed to the position, which corrects too much; the limit bounds
that as well.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.candidate_set import CandidateSet, Ints
from hybridrec.candidates.groups import Floats
from hybridrec.feedback import outcomes
from hybridrec.metrics.metrics import Labels, pair_keys, row_gains
from hybridrec.storage import store

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from hybridrec.runs.run import Run, Split

log = logging.getLogger(__name__)
MAX_ITEMS, MAX_POSITION = 20_000, 50  # what is counted fits into a million cells, however many items there are
MIN_CLICKS = 30  # a position with fewer is taken for as good as the one above it
ROUNDS = 50  # five change the third digit no more
Counts = NDArray[np.int64]


def shows_lists(run: Run) -> bool:
    """Return whether the events before as_of hold impressions with their position, on a calendar that tells which came before the cut."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    shown = (
        (pc.field("event_type") == "impression") & pc.field("position").is_valid() & (pc.field("event_at") < pa.scalar(run.manifest.as_of))
    )
    data = ds.dataset(run.files("core_events"), format="parquet", partitioning=None)
    return run.config.split == "time" and data.head(1, columns=["position"], filter=shown).num_rows > 0


def shown_events(spark: SparkSession, run: Run) -> DataFrame:
    """Return item_id, position, event_type, event_at of impressions and clicks.

    For lists that the look-up has served they are those of model_feedback, each dated by the end of its attribution window: an
    impression whose click may still come is none without a click. Only impressions that a caller tells of count: all that follows from
    clicks alone ends with a click, which would say that the lowest position is the one that is looked at most.
    """
    from pyspark.sql import functions as F

    from hybridrec.dataset import impressions  # needs Spark, which who fits a ranker does not

    columns = ("item_id", "position", "event_type", "event_at")
    events = run.read_spark(spark, "core_events")
    if not outcomes.is_there(run):
        return events
    told = run.read_spark(spark, outcomes.TABLE).where(F.col("shown") & (F.col("shown_by") == "impression"))
    kinds = F.explode(F.when(F.col("clicked"), F.array(F.lit("impression"), F.lit("click"))).otherwise(F.array(F.lit("impression"))))
    of_lists = told.withColumn("event_at", impressions.known_at(run)).withColumn("event_type", kinds)
    return impressions.without_served(spark, run, events).select(*columns).unionByName(of_lists.select(*columns))


def count_shown(events: DataFrame, split: Split) -> DataFrame:
    """Return item_id, position, n_impressions, n_clicks before the split's cut, of the items that were shown most.

    events: core_events, or what shown_events returns.
    """
    from pyspark.sql import functions as F

    known = F.col("event_type").isin("impression", "click") & (F.col("position") <= MAX_POSITION)
    counts = (
        events.where(known & (F.col("event_at") < F.lit(split.cut)))
        .groupBy("item_id", "position")
        .agg(
            F.count_if(F.col("event_type") == "impression").alias("n_impressions"),
            F.count_if(F.col("event_type") == "click").alias("n_clicks"),
        )
        .withColumn("n_clicks", F.least("n_clicks", "n_impressions"))
    )
    shown = counts.groupBy("item_id").agg(F.sum("n_impressions").alias("n_shown"))
    return counts.join(shown.orderBy(F.desc("n_shown"), "item_id").limit(MAX_ITEMS).select("item_id"), "item_id")


def examine(counts: pa.Table) -> pa.Table:
    """Return model_positions from the counts of count_shown; empty when no position has clicks enough to be told from another."""
    import pyarrow as pa

    positions, position_index = np.unique(counts["position"].to_numpy(), return_inverse=True)
    items, item = np.unique(counts["item_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    impressions, clicks = np.zeros((2, len(items), len(positions)), dtype=np.int64)
    impressions[item, position_index] = counts["n_impressions"].to_numpy()
    clicks[item, position_index] = counts["n_clicks"].to_numpy()
    columns = {"position": positions, "n_impressions": impressions.sum(axis=0), "n_clicks": clicks.sum(axis=0)}
    examined = pa.table(columns | {"propensity": examination_propensity(impressions, clicks).astype(np.float32)})
    return examined if (columns["n_clicks"] >= MIN_CLICKS).sum() > 1 else examined.slice(0, 0)


def examination_propensity(impressions: Counts, clicks: Counts) -> NDArray[np.float64]:
    """Return the chance of examination per position, relative to the best, (n_positions,); counts: (n_items, n_positions)."""
    propensity = np.ones(impressions.shape[1])
    for _ in range(ROUNDS):
        appeal = clicks.sum(axis=1) / np.maximum(impressions @ propensity, 1e-12)  # (n_items,)
        propensity = clicks.sum(axis=0) / np.maximum(appeal @ impressions, 1e-12)
    settled = _from_above(propensity, clicks.sum(axis=0) >= MIN_CLICKS)
    return np.asarray(settled / settled.max(), dtype=np.float64)


def training_gains(run: Run, split: str, candidates: CandidateSet, labels: Labels) -> Floats:
    """Return the labels' gains for training, corrected for position if lists were shown; float32 (n_rows,)."""
    gains = row_gains(candidates, labels)
    if not store.is_committed(run.dataset("model_positions", split)):
        return gains
    shown_at = label_positions(run, split, candidates)
    corrected = correct_gains(gains, shown_at, run.read("model_positions", split), run.config.max_position_weight)
    changed = int((corrected != gains).sum())
    log.info("%d of %d labels in the candidates weigh more for the position at which they were shown", changed, int((gains > 0).sum()))
    return corrected


def correct_gains(gains: Floats, positions: Ints, of_positions: pa.Table, max_weight: float) -> Floats:
    """Return gains over the chance that their position was examined, at most max_weight times as large; float32 like gains.

    positions: where each was shown, 0 for not known, which leaves the gain. A position below the last known one uses the last known value.
    of_positions: model_positions, by position.
    """
    if not of_positions.num_rows:
        return gains
    known, chances = of_positions["position"].to_numpy(), of_positions["propensity"].to_numpy()
    at = np.clip(np.searchsorted(known, positions, side="right") - 1, 0, None)
    weights = np.minimum(1 / np.maximum(chances[at], 1e-6), max_weight)
    return np.where(positions > 0, gains * weights, gains).astype(np.float32)


def label_positions(run: Run, split: str, candidates: CandidateSet) -> Ints:
    """Return the position at which each candidate was shown when it became a label, 0 if unknown; int32 (n_rows,)."""
    table = run.read("model_labels", split, ["user_idx", "item_idx", "position"])
    table = table.filter(table["position"].is_valid()).sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    keys, labelled = (
        pair_keys(candidates.row_users, candidates.items),
        pair_keys(table["user_idx"].to_numpy(), table["item_idx"].to_numpy()),
    )
    at = np.searchsorted(labelled, keys)
    shown = np.append(table["position"].to_numpy(), 0)
    return np.where(np.append(labelled, -1)[at] == keys, shown[at], 0).astype(np.int32)


def _from_above(propensity: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fill unknown positions with the value of the known one above, or else of the first."""
    at = np.maximum.accumulate(np.where(known, np.arange(len(propensity)), -1))
    return propensity[np.where(at < 0, int(known.argmax()), at)] if known.any() else np.ones(len(propensity))
