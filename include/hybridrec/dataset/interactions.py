"""Dense numbers, interaction matrix and labels of a run, as Spark frames.

Sums of weights are taken over integers (billionths), because the order in which Spark adds floats changes from
attempt to attempt and a rerun must give the same bytes.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from hybridrec.base.config import BUYING, Config
from hybridrec.runs.run import Run, Split
from hybridrec.splitting import held_out, likes
from hybridrec.storage import store
from hybridrec.tables import GONE, Table, spark_type, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RATING_SCALE = 5.0  # a rating event weighs in proportion to its stars
UNIT = 1e9
ROWS_PER_FILE = 2_000_000


def number_users(events: DataFrame, users: DataFrame) -> DataFrame:
    """Return model_users: all users with an event or in the user table, numbered in the order of user_id; not those who have left it."""
    known = events.select("user_id").union(users.select("user_id")).distinct()
    gone = users.where(F.col("standing").isin(*GONE)).select("user_id")
    known = known.join(gone, "user_id", "left_anti")
    numbered = known.select(_dense_number("user_id").alias("user_idx"), "user_id")
    joined = numbered.join(users, "user_id", "left")
    opted_out = F.coalesce("opted_out", F.lit(False)) if "opted_out" in users.columns else F.lit(False)
    return as_declared(joined.withColumn("opted_out", opted_out), table("model_users"))


def number_items(events: DataFrame, items: DataFrame) -> DataFrame:
    """Return model_items: all items with an event or in the catalogue, numbered in the order of item_id.

    An item that has left the catalogue is there for the sake of its events only. An item without a row in core_items has no content
    and is not promoted; it counts as available where nothing else is listed either.
    """
    catalogue = F.coalesce("standing", F.lit("listed")).isin("listed")
    available = items.where(catalogue).isEmpty()
    turned_to = events.select("item_id").distinct()
    gone = items.where(F.col("standing").isin(*GONE)).select("item_id").join(turned_to, "item_id", "left_anti")
    items = items.join(gone, "item_id", "left_anti")
    dated = events.select("item_id", "event_at").unionByName(items.select("item_id"), allowMissingColumns=True)
    known = dated.groupBy("item_id").agg(F.min("event_at").alias("first_event_at"))
    numbered = known.select(_dense_number("item_id").alias("item_idx"), "item_id", "first_event_at")
    joined = numbered.join(items, "item_id", "left")
    categories = F.coalesce("categories", F.array().cast("array<string>"))
    filled = joined.withColumns(
        {
            "categories": categories,
            "learnt_categories": categories,
            "is_available": F.coalesce("is_available", F.lit(available)),
            "is_promoted": F.coalesce("is_promoted", F.lit(False)),
            "is_consumable": F.coalesce("is_consumable", F.lit(False)) if "is_consumable" in items.columns else F.lit(False),
        }
    )
    return as_declared(filled, table("model_items"))


def item_vectors(numbered: DataFrame, items: DataFrame) -> DataFrame:
    """Return model_item_vectors: items that the catalogue gives a vector; numbered: model_items, items: core_items."""
    given = items.where(F.size("vector") > 0).select("item_id", "vector")
    return as_declared(numbered.select("item_idx", "item_id").join(given, "item_id"), table("model_item_vectors"))


def positive_events(spark: SparkSession, run: Run) -> DataFrame:
    """Return user_idx, item_idx, event_at, event_type, device, position, weight (undecayed, above 0), stage of the positive events.

    They are those before as_of.

    calendar_at is event_at where days and hours mean something, else null. disliked_stage: only with low ratings, see splitting/likes.py.
    """
    events = events_before(spark, run)
    weighted = events.withColumn("weight", event_weight(run.config.event_weights)).where("weight > 0")
    columns = ("device", "position", "weight", "event_type")
    positive = with_numbers(spark, run, weighted.where(~likes.is_low(run.config.liked_from)), *columns)
    calendar = F.col("event_at") if run.config.split == "time" else F.lit(None).cast("timestamp")
    positive, low = positive.withColumn("calendar_at", calendar), low_ratings(spark, run)
    n_items = n_rows(run, "model_items")
    if low is None:
        return held_out.with_stage(positive, run.manifest, n_items)
    if run.config.split == "time":
        return likes.mark_disliked(held_out.with_stage(positive, run.manifest, n_items), low)
    # without a calendar a disliked pair is no label of any split: it is out before labels are drawn
    liked = likes.mark_disliked(positive, low).where("disliked_stage is null").drop("disliked_stage")
    return held_out.with_stage(liked, run.manifest, n_items)


def low_ratings(spark: SparkSession, run: Run) -> DataFrame | None:
    """Return user_idx, item_idx, event_at, stage of the ratings before as_of that mean dislike; None without any."""
    low = events_before(spark, run).where(likes.is_low(run.config.liked_from))
    if run.config.liked_from <= 0 or low.isEmpty():
        return None
    numbered = with_numbers(spark, run, low)
    if run.config.split != "time":
        return numbered.withColumn("stage", F.lit(0))
    return held_out.with_stage(numbered, run.manifest, n_rows(run, "model_items"))


def events_before(spark: SparkSession, run: Run) -> DataFrame:
    """Return core_events before as_of."""
    return run.read_spark(spark, "core_events").where(F.col("event_at") < F.lit(run.manifest.as_of))


def with_numbers(spark: SparkSession, run: Run, events: DataFrame, *columns: str) -> DataFrame:
    """Return events with user_idx and item_idx instead of ids; those of users without a number fall out."""
    users = run.read_spark(spark, "model_users").select("user_idx", "user_id")
    items = run.read_spark(spark, "model_items").select("item_idx", "item_id")
    return events.join(users, "user_id").join(items, "item_id").select("user_idx", "item_idx", "event_at", *columns)


def bought_events(spark: SparkSession, run: Run) -> DataFrame | None:
    """Return user_idx, item_idx, event_at, order_id, session_id, quantity of purchases before as_of, else of what was put into a cart.

    None if neither is an event that counts.
    """
    weighted = events_before(spark, run).where(event_weight(run.config.event_weights) > 0)
    there = {row[0] for row in weighted.where(F.col("event_type").isin(*BUYING)).select("event_type").distinct().collect()}
    kind = next((name for name in BUYING if name in there), None)
    if kind is None:
        return None
    return with_numbers(spark, run, weighted.where(F.col("event_type") == kind), "order_id", "session_id", "quantity")


def event_weight(weights: dict[str, float]) -> Column:
    """Return the weight of an event by its type; a rating's is scaled by its stars, other types weigh nothing."""
    pairs = chain.from_iterable((F.lit(name), F.lit(value)) for name, value in sorted(weights.items()))
    by_type = F.coalesce(F.create_map(*pairs)[F.col("event_type")], F.lit(0.0))
    stars = F.coalesce(F.col("rating").cast("double"), F.lit(RATING_SCALE)) / RATING_SCALE
    # a rating of 0 stars is still a choice of the user's: it keeps a tenth of the weight
    return F.when(F.col("event_type") == "rating", by_type * F.greatest(stars, F.lit(0.1))).otherwise(by_type)


def interactions(events: DataFrame, split: Split, config: Config) -> DataFrame:
    """Return model_interactions of a split: one row per pair, weights decayed by their age at the cut if times are known."""
    age = held_out.age_days(F.col("event_at"), split) if config.split == "time" else F.lit(0.0)
    decayed = F.col("weight") * F.pow(F.lit(0.5), age / F.lit(config.half_life_days))
    pairs = (
        held_out.history(events, split)
        .groupBy("user_idx", "item_idx")
        .agg(
            (F.sum(_as_integer(decayed)) / UNIT).alias("weight"),
            F.count("*").alias("n_events"),
            F.min("event_at").alias("first_event_at"),
            F.max("event_at").alias("last_event_at"),
        )
    )
    # an event many half-lives old would round to 0, and a stored 0 is no interaction
    return as_declared(pairs.withColumn("weight", F.greatest("weight", F.lit(1e-6))), table("model_interactions"))


def n_rows(run: Run, name: str) -> int:
    """Return rows of a committed table, from its manifest."""
    return store.read_manifest(run.dataset(name)).rows


def labels(
    events: DataFrame,
    split: Split,
    config: Config,
    n_users: int,
    disliked: DataFrame | None = None,
    had: DataFrame | None = None,
    full: Split | None = None,
) -> DataFrame:
    """Return model_labels of a split: pairs that are held out and that a list may hold, of at most config.max_label_users users.

    n_users: of the run; skips counting when n_users is within the limit.
    disliked: model_disliked of the split, pairs that no list will hold. had: model_had of the split; None: the whole history.
    full: the split whose histories are those of the users served, if any are.
    """
    held = held_out.labelled(events, split)
    if config.label_types:
        held = held.where(F.col("event_type").isin(*config.label_types))
    pairs = held.groupBy("user_idx", "item_idx").agg(F.max("weight").alias("gain"), F.min("position").alias("position"))
    history = held_out.history(events, split).select("user_idx", "item_idx").distinct()
    known = history if had is None else had
    known = known if disliked is None else known.union(disliked.select("user_idx", "item_idx"))
    fresh = pairs.join(known, ["user_idx", "item_idx"], "left_anti")
    if n_users > config.max_label_users:
        fresh = held_out.sample_users(fresh, history, None if full is None else held_out.history(events, full), n_users, config)
    return as_declared(fresh, table("model_labels"))


def in_files(frame: DataFrame, by: str, run: Run) -> DataFrame:
    """Return the frame in as many files as the events fill, each a range of users or items, sorted: who wants some reads few files."""
    n = n_files(run)
    n_numbers = n_rows(run, "model_users" if by == "user_idx" else "model_items")
    file = F.floor(F.col(by).cast("bigint") * n / n_numbers).cast("int")
    keys = [name for name in ("user_idx", "item_idx", "order_key", "event_type", "event_at") if name in frame.columns]
    return frame.repartitionById(n, file).sortWithinPartitions(*keys)


def n_files(run: Run) -> int:
    """Return the number of files for a table of the run's events."""
    return 1 + run.manifest.inputs["core_events"].rows // ROWS_PER_FILE


def exact_mean(column: Column) -> Column:
    """Return the mean that does not depend on the order of rows."""
    return F.sum(_as_integer(column)) / F.count(column) / UNIT


def _as_integer(column: Column) -> Column:
    return F.round(column * UNIT).cast("bigint")


def _dense_number(column: str) -> Column:
    return F.row_number().over(Window.orderBy(column)) - F.lit(1)


def as_declared(frame: DataFrame, definition: Table) -> DataFrame:
    """Return the columns of the table's definition in its types and order."""
    return frame.select([F.col(column.name).cast(spark_type(column.type)) for column in definition.columns])
