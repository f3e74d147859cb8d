"""Which events a split may learn from and which are its labels, for each thing that may be known of time.

Every positive event gets a `stage`: 0 is history everywhere, 1 is a label of the ranker split, 2 a label of the holdout split. A
split's history are the stages below its own, so the holdout split may learn from the labels of the ranker split.

    time              the stages are cut at two points of time; new items are held out by themselves
    last_per_user     each user's newest pair is a label of holdout, the one before it of ranker
    random_per_user   a share of each user's pairs is drawn for holdout, another one for ranker

The last two never hold out an item as a whole, and a ranker that has never met an item without history learns to
bury it. So they also hold out whole items, at the rate at which the catalogue's items are new: without any event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec.base.config import Config, SplitMethod
from hybridrec.base.errors import PermanentError
from hybridrec.splitting.mix import draw_rates

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from hybridrec.runs.run import RunManifest, Split

STAGES = {"ranker": 1, "holdout": 2, "full": 3}
NEVER = 9
MIN_PAIRS = 3  # a user with fewer keeps them all: one to learn from, one for each label split
MAX_NEW_SHARE = 0.2  # of the items held out for each label split, however many of the catalogue are new
RESOLUTION = 1_000_003
DAY_SECONDS = 86_400.0


def with_stage(events: DataFrame, manifest: RunManifest, n_items: int) -> DataFrame:
    """Return positive events with their stage. events: user_idx, item_idx, event_at, ...; n_items: of the catalogue."""
    from pyspark.sql import functions as F

    config = manifest.config
    if config.split == "time":
        late = [F.col("event_at") >= F.lit(manifest.splits[split].cut) for split in ("ranker", "holdout")]
        return events.withColumn("stage", late[0].cast("int") + late[1].cast("int"))
    pairs = events.groupBy("user_idx", "item_idx").agg(F.max("event_at").alias("last_event_at"))
    position, n_pairs = _position(pairs, config.split, config.seed)
    staged = pairs.withColumns({"position": position, "n_pairs": n_pairs})
    stage = _last_stage() if config.split == "last_per_user" else _random_stage(config.label_share / 2, config.seed)
    new = new_item_share(n_items, events.select("item_idx").distinct().count())
    staged = staged.withColumn("stage", _item_stage(new, config.seed, stage))
    return events.join(staged.select("user_idx", "item_idx", "stage"), ["user_idx", "item_idx"])


def history(events: DataFrame, split: Split) -> DataFrame:
    """Return the events for the split's models and features: without pairs that the user has disliked by then."""
    seen = events.where(events["stage"] < STAGES[split.name])
    return seen.where(f"coalesce(disliked_stage, {NEVER}) >= {STAGES[split.name]}") if "disliked_stage" in events.columns else seen


def age_days(at: Column, split: Split) -> Column:
    """Return days from a time to the split's cut."""
    from pyspark.sql import functions as F

    micros = F.unix_micros(F.lit(split.cut)) - F.unix_micros(at)
    return micros / F.lit(DAY_SECONDS * 1e6)


def labelled(events: DataFrame, split: Split) -> DataFrame:
    """Return the events that the split is judged on."""
    labels = events.where(events["stage"] == STAGES[split.name])
    return labels.where(f"coalesce(disliked_stage, {NEVER}) > {STAGES[split.name]}") if "disliked_stage" in events.columns else labels


def no_labels(events: DataFrame, split: Split, config: Config) -> PermanentError:
    """Return the error for a split without labels: the events that it found, their time span, and the remedy.

    events: those of with_stage.
    """
    from pyspark.sql import functions as F

    of_users = events.groupBy("user_idx").agg(
        F.count("*").alias("n"),
        F.countDistinct("item_idx").alias("n_items"),
        F.min("event_at").alias("first"),
        F.max("event_at").alias("last"),
    )
    whole = of_users.agg(
        F.count("*").alias("users"), F.sum("n").alias("n"), F.max("n_items").alias("most"), *_as_text(F.min("first"), F.max("last"))
    ).first()
    held = labelled(events, split).agg(F.count("*").alias("n"), *_as_text(F.min("event_at"), F.max("event_at"))).first()
    assert whole is not None and held is not None
    if not whole["n"]:
        return PermanentError(f"split {split.name}: no labels, since no event counts; correct event_type or [night] event_weights")
    held_out = f"of {whole['n']} positive events of {whole['users']} users, {whole['from']} to {whole['to']}, "
    of_split = f"{held['n']} are held out for it, {held['from']} to {held['to']}, and their users had each item before"
    held_out += of_split if held["n"] else "none is held out for it"
    return PermanentError(f"split {split.name}: no labels, so nothing can be judged: {held_out}; {_remedy(split, config, whole['most'])}")


def _as_text(first: Column, last: Column) -> list[Column]:
    from pyspark.sql import functions as F

    return [F.date_format(at, "yyyy-MM-dd HH:mm").alias(name) for name, at in (("from", first), ("to", last))]


def _remedy(split: Split, config: Config, most: int) -> str:
    if config.split == "time":
        return (
            f"split time needs a user who chooses a new item between {split.cut:%Y-%m-%d %H:%M} and {split.label_end:%Y-%m-%d %H:%M}; "
            f"load more events, move as_of or widen the window by [night] label_share ({config.label_share:g}) or min_label_events"
        )
    held = "each user's last items" if config.split == "last_per_user" else f"{config.label_share / 2:.0%} of each user's items"
    return (
        f"split {config.split} holds out {held}, of users with at least {MIN_PAIRS} different ones, and the longest history has {most}; "
        "load more events"
    )


def new_item_share(n_items: int, n_items_with_events: int) -> float:
    """Return the share of items to hold out whole per label split: the catalogue's share without events, bounded."""
    return min(MAX_NEW_SHARE, 1 - n_items_with_events / max(n_items, 1))


def sample_users(labels: DataFrame, known: DataFrame, served: DataFrame | None, n_users: int, config: Config) -> DataFrame:
    """Return the labels of some max_label_users users, drawn by seed: enough for narrow intervals, and memory stays bounded.

    known, served: user_idx, item_idx of the histories before the split's cut and of the users served; None for a run without a full split.
    n_users: of the run, whether they have a history or not.
    The users are drawn so that their histories are a mix like those of the users served, see splitting/mix.py.
    """
    from pyspark.sql import functions as F

    users = with_segment(labels.select("user_idx").distinct(), known, config.light_max_items)
    counts = segment_counts(users)
    if sum(counts.values()) <= config.max_label_users:
        return labels
    wanted = counts
    if served is not None:
        wanted = segment_counts(with_segment(served.select("user_idx").distinct(), served, config.light_max_items))
        wanted |= {"none": n_users - sum(wanted.values())}
    rates = draw_rates(counts, wanted, config.max_label_users)
    rate = F.create_map(*(part for name, value in rates.items() for part in (F.lit(name), F.lit(value))))[F.col("segment")]
    drawn = users.where(_draw(config.seed, "labels", F.col("user_idx")) < rate)
    return labels.join(drawn.select("user_idx"), "user_idx", "left_semi")


def with_segment(users: DataFrame, histories: DataFrame, light_max_items: int) -> DataFrame:
    """Return user_idx and segment of the users, as mix.segments_of has it. histories: user_idx, item_idx."""
    from pyspark.sql import functions as F

    lengths = histories.groupBy("user_idx").agg(F.countDistinct("item_idx").alias("n"))
    n = F.coalesce("n", F.lit(0))
    segment = F.when(n == 0, "none").when(n <= light_max_items, "light").otherwise("heavy")
    return users.join(lengths, "user_idx", "left").select("user_idx", segment.alias("segment"))


def segment_counts(users: DataFrame) -> dict[str, int]:
    """Return the number of users of each segment."""
    return {row["segment"]: row["count"] for row in sorted(users.groupBy("segment").count().collect())}


def _position(pairs: DataFrame, split: SplitMethod, seed: int) -> tuple[Column, Column]:
    """Return each pair's position among its user's, 1 is held out first, and how many pairs the user has."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    by_user = Window.partitionBy("user_idx")
    by_chance = _draw(seed, "order", F.col("user_idx"), F.col("item_idx"))
    newest = F.col("last_event_at").desc()
    order = [newest, by_chance, F.col("item_idx")] if split == "last_per_user" else [by_chance, F.col("item_idx")]
    return F.row_number().over(by_user.orderBy(*order)), F.count("*").over(by_user)


def _last_stage() -> Column:
    from pyspark.sql import functions as F

    enough = F.col("n_pairs") >= MIN_PAIRS
    return F.when(enough & (F.col("position") == 1), 2).when(enough & (F.col("position") == 2), 1).otherwise(0)


def _random_stage(share: float, seed: int) -> Column:
    """Return `share` of each user's pairs for holdout and as many for ranker; fractions of a pair are rounded by chance."""
    from pyspark.sql import functions as F

    n_held = F.floor(F.col("n_pairs") * F.lit(share) + _draw(seed, "round", F.col("user_idx")))
    n_held = F.least(n_held, F.floor((F.col("n_pairs") - 1) / 2))
    return F.when(F.col("position") <= n_held, 2).when(F.col("position") <= 2 * n_held, 1).otherwise(0)


def _item_stage(share: float, seed: int, otherwise: Column) -> Column:
    from pyspark.sql import functions as F

    draw = _draw(seed, "item", F.col("item_idx"))
    return F.when(draw < share, 2).when((draw < 2 * share) & (otherwise < 2), 1).otherwise(otherwise)


def _draw(seed: int, what: str, *keys: Column) -> Column:
    """Return a number in [0, 1) for each key, the same in every attempt."""
    from pyspark.sql import functions as F

    return F.pmod(F.xxhash64(F.lit(f"{seed}:{what}"), *keys), F.lit(RESOLUTION)) / F.lit(float(RESOLUTION))
