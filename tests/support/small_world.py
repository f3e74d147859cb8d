"""A world small enough to reason about, and its run tables computed with pandas.

60 users and 40 items in two taste groups: users u00..u29 choose among items i00..i19, the others among i20..i39.
Item i39 is in the catalogue and has no event; i38 is out of stock; users u58 and u59 have no event. Every user
with events has some before the ranker split's cut, some between the cuts and some after the holdout split's cut, apart
from u29, who appears only after the holdout split's cut. The pandas arithmetic here is a second implementation that
the Spark jobs are checked against.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hybridrec.base.config import Config
from hybridrec.base.settings import Settings
from hybridrec.evaluation import leaks
from hybridrec.metrics.labels import load_labels, sample_users
from hybridrec.runs.run import Input, Run, RunManifest, Split
from hybridrec.storage import store
from hybridrec.tables import table

START = datetime(2026, 1, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=100)
CUTS = {"ranker": START + timedelta(days=60), "holdout": START + timedelta(days=80), "full": AS_OF}
N_USERS, N_ITEMS, GROUP = 60, 40, 20
OPTED_OUT = 3  # the user who is in no audience


def events() -> pd.DataFrame:
    """Return user_id, item_id, event_type, event_at: one event a pair, popular items are the low numbers of each group."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(N_USERS - 2):
        group = 0 if user < N_USERS // 2 else 1
        n_choices = GROUP if group == 0 else GROUP - 1  # i39 stays without events
        popularity = 1.0 / np.arange(1, n_choices + 1) ** 0.5
        chosen = rng.choice(n_choices, size=14, replace=False, p=popularity / popularity.sum()) + group * GROUP
        days = np.concatenate([rng.uniform(0, 60, 7), rng.uniform(60, 80, 3), rng.uniform(80, 100, 4)])
        if user == 29:
            chosen, days = chosen[:4], days[10:]
        for item, day in zip(chosen, days, strict=True):
            at = START + timedelta(seconds=int(day * 86_400))
            rows.append((f"u{user:02d}", f"i{item:02d}", "purchase", at))
    return pd.DataFrame(rows, columns=["user_id", "item_id", "event_type", "event_at"])


def items() -> pd.DataFrame:
    """Return the catalogue in the columns of core_items."""
    numbers = range(N_ITEMS)
    return pd.DataFrame(
        {
            "item_id": [f"i{n:02d}" for n in numbers],
            "title": [f"{'Space' if n < GROUP else 'Love'} story number {n}" for n in numbers],
            "description": [f"{'rocket planet star' if n < GROUP else 'heart kiss wedding'} tale" for n in numbers],
            "categories": [["Sci-Fi", "Drama"] if n < GROUP else ["Romance", "Drama"] for n in numbers],
            "brand": [f"studio{n % 4}" for n in numbers],
            "provider": ["house"] * N_ITEMS,
            "price": np.array([5.0 + n % 7 for n in numbers], dtype=np.float32),
            "is_available": [n != 38 for n in numbers],
            "is_promoted": [n % 10 == 0 for n in numbers],
            "is_consumable": False,
            "released_at": [START - timedelta(days=10 * n) for n in numbers],
        }
    )


def users() -> pd.DataFrame:
    """Return the users in the columns of core_users."""
    numbers = range(N_USERS)
    return pd.DataFrame(
        {
            "user_id": [f"u{n:02d}" for n in numbers],
            "age_years": np.array([20 + n for n in numbers], dtype=np.int32),
            "gender": ["F" if n % 2 else "M" for n in numbers],
            "occupation": ["engineer"] * N_USERS,
            "region": [str(n % 3) for n in numbers],
            "joined_at": [START] * N_USERS,
            "opted_out": [n == OPTED_OUT for n in numbers],
        }
    )


MODELS = ("als", "content_attributes", "item_knn", "popularity", "recent_popularity", "two_tower")


def make_run(run_id: str = "small", config: Config | None = None, models: tuple[str, ...] = MODELS) -> Run:
    """Return a committed run with model_users, model_items, model_interactions, model_labels and the features."""
    settings = Settings.from_env()
    splits = {
        "ranker": Split("ranker", CUTS["ranker"], CUTS["holdout"]),
        "holdout": Split("holdout", CUTS["holdout"], AS_OF),
        "full": Split("full", AS_OF, None),
    }
    inputs: dict[str, Input] = {}
    manifest = RunManifest(
        run_id, "small", AS_OF, models, True, "test", splits, inputs, config or Config(k=10, pool_k=20, bootstrap_samples=200)
    )
    run = Run.create(manifest, settings)
    write_tables(run)
    return run


def write_tables(run: Run) -> None:
    """Write the tables of build_interactions and build_features for this world and the run's splits."""
    run.write("model_users", pa.Table.from_pandas(users().drop(columns="joined_at").reset_index(names="user_idx"), preserve_index=False))
    first = items().item_id.map(events().groupby("item_id").event_at.min())
    catalogue = items().assign(first_event_at=first, learnt_categories=items().categories)
    run.write("model_items", pa.Table.from_pandas(catalogue.reset_index(names="item_idx"), preserve_index=False))
    run.write("model_orders", pa.Table.from_pandas(orders(), preserve_index=False))
    run.write("core_events", core_events())
    for name in run.splits:
        _write_split(run, run.split(name))


def orders() -> pd.DataFrame:
    """Return model_orders: what a user bought on a day."""
    rows = numbered_events().assign(day=lambda rows: rows.event_at.dt.floor("D"), quantity=np.float32(1))
    rows["order_key"] = rows.groupby(["user_idx", "day"]).ngroup().astype(np.int64)
    return rows.rename(columns={"event_at": "bought_at"})[["order_key", "user_idx", "item_idx", "bought_at", "quantity"]]


def core_events() -> pa.Table:
    """Return the events as core_events has them."""
    rows = events().assign(event_date=lambda rows: rows.event_at.dt.date, event_id=lambda rows: rows.user_id + rows.item_id)
    missing = {column: None for column in table("core_events").column_names if column not in rows.columns}
    return table("core_events").conform(pa.Table.from_pandas(rows.assign(**missing), preserve_index=False))


def _write_split(run: Run, split: Split) -> None:
    pairs = interactions(split, run.config)
    run.write("model_interactions", pa.Table.from_pandas(pairs, preserve_index=False), split.name)
    run.write("model_user_features", pa.Table.from_pandas(user_features(split), preserve_index=False), split.name)
    run.write("model_item_features", pa.Table.from_pandas(item_features(split), preserve_index=False), split.name)
    if split.label_end is not None:
        run.write("model_labels", pa.Table.from_pandas(labels(split, run.config), preserve_index=False), split.name)
        _write_recomputed(run, split, pairs)


def _write_recomputed(run: Run, split: Split, pairs: pd.DataFrame) -> None:
    """Write the features of sampled users and their items, which build_features leaves for the leak alarms."""
    users = sample_users(load_labels(run, split.name), leaks.RECOMPUTED_USERS, run.config.seed)
    of_users, of_items, known = user_features(split), item_features(split), pairs.item_idx[pairs.user_idx.isin(users)]
    kept = {"user": of_users[of_users.user_idx.isin(users)], "item": of_items[of_items.item_idx.isin(known)]}
    with run.staged(leaks.RECOMPUTED, split.name) as folder:
        for kind, rows in kept.items():
            rows.to_parquet(folder / f"{kind}.parquet", index=False)


def numbered_events() -> pd.DataFrame:
    """Return events with user_idx and item_idx."""
    rows = events()
    rows["user_idx"] = rows.user_id.str[1:].astype(np.int32)
    rows["item_idx"] = rows.item_id.str[1:].astype(np.int32)
    return rows


def interactions(split: Split, config: Config) -> pd.DataFrame:
    """Return model_interactions of a split."""
    seen = numbered_events().query("event_at < @split.cut")
    age_days = (split.cut - seen.event_at).dt.total_seconds() / 86_400
    seen = seen.assign(weight=config.event_weights["purchase"] * 0.5 ** (age_days / config.half_life_days))
    grouped = seen.groupby(["user_idx", "item_idx"])
    return grouped.agg(
        weight=("weight", "sum"), n_events=("weight", "size"), first_event_at=("event_at", "min"), last_event_at=("event_at", "max")
    ).reset_index()


def labels(split: Split, config: Config) -> pd.DataFrame:
    """Return model_labels of a split; every pair of this world occurs once, so none is in the history."""
    rows = numbered_events().query("event_at >= @split.cut and event_at < @split.label_end")
    rows = rows.assign(gain=np.float32(config.event_weights["purchase"]), position=pd.array([pd.NA] * len(rows), "Int32"))
    return rows[["user_idx", "item_idx", "gain", "position"]]


def user_features(split: Split) -> pd.DataFrame:
    """Return model_user_features of a split."""
    seen = numbered_events().query("event_at < @split.cut")
    log_popularity = np.log1p(seen.groupby("item_idx").user_idx.transform("nunique"))
    grouped = with_habits(seen).assign(log_popularity=log_popularity).groupby("user_idx")
    first, last = grouped.event_at.min(), grouped.event_at.max()
    return pd.DataFrame(
        {
            "user_n_items": grouped.item_idx.nunique(),
            "user_n_events": grouped.size(),
            "user_recency_days": (split.cut - last).dt.total_seconds() / 86_400,
            "user_span_days": (last - first).dt.total_seconds() / 86_400,
            "user_mean_log_popularity": grouped.log_popularity.mean(),
            "user_weekend_share": grouped.weekend.mean(),
            "user_evening_share": grouped.evening.mean(),
            "user_mobile_share": np.nan,
        }
    ).reset_index()


def item_features(split: Split, window_hours: int = 0) -> pd.DataFrame:
    """Return model_item_features of a split; window_hours: of the run, 0 without a calendar."""
    seen = numbered_events().query("event_at < @split.cut")
    age_days = (split.cut - seen.event_at).dt.total_seconds() / 86_400
    windows = {"quarter": age_days <= 90, "recent": age_days <= 30, "week": age_days <= 7}
    windows |= {"window": age_days <= window_hours / 24, "around": age_days <= window_hours / 6}
    grouped = with_habits(seen).assign(age_days=age_days, **windows).groupby("item_idx")
    return pd.DataFrame(
        {
            "item_n_users": grouped.user_idx.nunique(),
            "item_n_events": grouped.size(),
            "item_n_events_90d": grouped.quarter.sum(),
            "item_n_events_30d": grouped.recent.sum(),
            "item_n_events_7d": grouped.week.sum(),
            "item_n_events_window": grouped.window.sum() if window_hours else np.nan,
            "item_trend": np.log((grouped.window.sum() + 1) / ((grouped.around.sum() - grouped.window.sum()) / 3 + 1))
            if window_hours
            else np.nan,
            "item_age_days": grouped.age_days.max(),
            "item_recency_days": grouped.age_days.min(),
            "item_weekend_share": grouped.weekend.mean(),
            "item_evening_share": grouped.evening.mean(),
            "item_mobile_share": np.nan,
        }
    ).reset_index()


def with_habits(seen: pd.DataFrame) -> pd.DataFrame:
    """Return whether each event is on a week-end or in the evening; no event of this world has a device."""
    hour = seen.event_at.dt.hour
    return seen.assign(weekend=seen.event_at.dt.dayofweek >= 5, evening=(hour >= 18) | (hour < 6))


def _with_columns(frame: pd.DataFrame, columns: dict[str, object]) -> pd.DataFrame:
    for name, values in columns.items():
        frame[name] = pd.Series(values)
    return frame


def write_core_tables(source: str = "files", **of_items: object) -> None:
    """Commit the world's core tables to a source's warehouse, as ingest would. of_items: further columns of the catalogue."""
    events_table = events().assign(
        event_date=lambda rows: rows.event_at.dt.date, event_id=lambda rows: rows.user_id + rows.item_id + rows.event_type
    )
    for name, frame in (("core_events", events_table), ("core_items", _with_columns(items(), of_items)), ("core_users", users())):
        definition = table(name)
        given = {"standing": "listed"} if "standing" in definition.column_names else {}
        missing = {column: given.get(column) for column in definition.column_names if column not in frame.columns}
        rows = definition.conform(pa.Table.from_pandas(frame.assign(**missing), preserve_index=False))
        commit_core_table(source, name, rows)


def commit_core_table(source: str, name: str, rows: pa.Table) -> None:
    """Commit rows as a core table of a source's warehouse."""
    folder = Settings.from_env().warehouse(source) / name
    attempt = store.new_attempt(folder)
    pq.write_table(rows, attempt / "part-0.parquet")
    store.commit(folder, store.Manifest(store.files_below(folder, attempt), rows.num_rows, store.hash_files(attempt)))
