"""Decide the purpose of history: which items a user has had and gets in no list, which events tell a taste, which are labels.

Every event with a weight tells a taste. Whether it also makes its item one that the user "had", and for how many days, says
`[night] had_days` for each type of events, or the data do: where people choose again what they had such an event with, as those who buy
do with what they viewed and those who shop each month with what they bought, the type takes nothing out of the lists.

Without repeats everything in the history is had; then no table says so, and all is as if this module did not exist.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridrec.base.config import FOR_EVER, POSITIVE_TYPES, Config
from hybridrec.splitting import held_out
from hybridrec.splitting.likes import is_positive, pairs_of_users
from hybridrec.storage import store

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame
    from scipy.sparse import csr_array

    from hybridrec.runs.run import Run, Split
    from hybridrec.types import Ints

log = logging.getLogger(__name__)
TABLE = "model_had"
SAMPLED_EVENTS = 5_000_000  # of the users whose repeats are counted
KEY = ["user_id", "item_id"]


class Settled(NamedTuple):
    """The purposes of a run: config with days for every type, whether lists may hold the history, the repeats found by type."""

    config: Config
    repeats: bool
    shares: dict[str, float]


def settled(config: Config, files: Iterable[str], n_events: int, window: tuple[datetime, datetime], consumables: bool) -> Settled:
    """Return the purposes with the days that the data suggest for each type of events, if the options leave them to the data.

    files: of core_events. window: of the labels whose repeats are counted, on a sample of the users if n_events is large.
    consumables: the catalogue has some.
    """
    days = {name: config.had_days.get(name, -1.0) for name in (*POSITIVE_TYPES, *config.event_weights)}
    shares: dict[str, float] = {}  # without a calendar a pair is history or label, never both
    if config.split == "time":
        shares = repeat_shares(config, files, max(1, n_events // SAMPLED_EVENTS), *window)
        log.info("choices of pairs that had the event before: %s", ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    suggested = {name: 0.0 if shares.get(name, 0.0) >= config.repeat_share else FOR_EVER for name in days}
    config = replace(config, had_days={name: suggested[name] if value < 0 else value for name, value in days.items()})
    return Settled(config, may_come_again(config, consumables), shares)


def repeat_shares(config: Config, files: Iterable[str], every: int, cut: datetime, end: datetime) -> dict[str, float]:
    """Return the share of the label window's choices whose pair had an event of the type before it, by type; by weight of the choices.

    Users without any event before the window say nothing about repeats and do not count. every: of so many users one is looked at.
    """
    pairs = _pairs(config, files, every, cut, end)
    known = pairs["user_id"].isin(pairs.loc[pairs["before"], "user_id"].unique())
    chosen = pairs[~pairs["before"] & known & pairs["event_type"].isin(label_types(config))]
    gain = chosen.assign(gain=chosen["event_type"].map(config.event_weights)).groupby(KEY)["gain"].max()
    shares = {}
    for name, of_type in pairs[pairs["before"]].groupby("event_type"):
        again = gain.index.isin(of_type.set_index(KEY).index)
        shares[str(name)] = float(gain[again].sum() / gain.sum()) if gain.sum() > 0 else 0.0
    return shares


def _pairs(config: Config, files: Iterable[str], every: int, cut: datetime, end: datetime) -> pd.DataFrame:
    """Return user_id, item_id, event_type, before (the window) of each kind of pair with a positive event before the end."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    wanted = is_positive(config) & (pc.field("event_at") < pa.scalar(end))
    parts = []
    for batch in ds.dataset(list(files)).scanner(columns=[*KEY, "event_type", "event_at"], filter=wanted).to_batches():
        table = pa.Table.from_batches([batch]).append_column("before", pc.less(batch["event_at"], pa.scalar(cut, batch["event_at"].type)))
        part = table.drop_columns(["event_at"]).to_pandas()
        if every > 1:
            part = part[pd.util.hash_array(part["user_id"].to_numpy()) % np.uint64(every) == 0]
        parts.append(part.drop_duplicates())
    pairs: pd.DataFrame = pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)
    return pairs


def label_types(config: Config) -> tuple[str, ...]:
    """Return the types of events that are labels."""
    weighted = tuple(name for name, weight in config.event_weights.items() if weight > 0)
    return tuple(name for name in weighted if name in config.label_types) if config.label_types else weighted


def may_come_again(config: Config, consumables: bool) -> bool:
    """Return whether a list may hold an item of its user's history; config: a resolved one, consumables: the catalogue has some."""
    ends = any(days < FOR_EVER for name, days in config.had_days.items() if config.event_weights.get(name, 0.0) > 0)
    return config.split == "time" and (ends or consumables or bool(config.consumable_categories))


def had_pairs(events: DataFrame, items: DataFrame, split: Split, config: Config) -> DataFrame:
    """Return model_had of a split: pairs of the history of which an event still counts at the cut.

    events: positive events with event_type, event_at, stage. items: model_items.
    """
    from pyspark.sql import functions as F

    days = F.create_map(*(part for name, value in sorted(config.had_days.items()) for part in (F.lit(name), F.lit(value))))
    counts = held_out.age_days(F.col("event_at"), split) < F.coalesce(days[F.col("event_type")], F.lit(FOR_EVER))
    for_ever = F.coalesce(days[F.col("event_type")], F.lit(FOR_EVER)) >= FOR_EVER
    had = held_out.history(events, split).where(counts | for_ever).select("user_idx", "item_idx").distinct()
    return had.join(items.where(_is_consumable(config)).select("item_idx"), "item_idx", "left_anti")


def _is_consumable(config: Config) -> Column:
    from pyspark.sql import functions as F

    listed = F.arrays_overlap("categories", F.array(*(F.lit(name) for name in config.consumable_categories)).cast("array<string>"))
    return F.col("is_consumable") | F.coalesce(listed, F.lit(False))


def had(run: Run, split: str, users: Ints) -> csr_array | None:
    """Return what some users have had by the split's cut: ones, csr float32 (n_users, n_items); None: all of their history."""
    if not store.is_committed(run.dataset(TABLE, split)):
        return None
    known, row = np.unique(users, return_inverse=True)
    return pairs_of_users(run, TABLE, split, known)[row]
