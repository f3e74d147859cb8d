"""A shop in which people buy again: enough weeks of orders that each table besides the lists has something to find.

40 users, 30 items, 20 weeks. Users 0..19 buy among items 0..14, the others among 15..29. Each user buys two staples in every
visit, and one item now and then that comes back only by chance; items 2n and 2n + 1 of the same group are bought in the same order.
Items 12 and 13 of a group are for beginners: everybody buys them in each visit of the first ten weeks, and never again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from hybridrec.base.config import FOR_EVER, POSITIVE_TYPES, SIDE_TABLES, Config
from hybridrec.base.settings import Settings
from hybridrec.runs.run import Run, RunManifest, Split
from hybridrec.tables import table
from hybridrec.training import fits

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEKS = 20
AS_OF = START + timedelta(weeks=WEEKS)
CUTS = {"ranker": START + timedelta(weeks=12), "holdout": START + timedelta(weeks=16), "full": AS_OF}
N_USERS, N_ITEMS = 40, 30
OPTED_OUT, SOLD_OUT, NEVER_ELSE = 1, 14, 29


def orders() -> pd.DataFrame:
    """Return user_idx, item_idx, order_key, bought_at, quantity."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(N_USERS):
        group = 15 * (user >= N_USERS // 2)
        staples = rng.choice(6, 2, replace=False) * 2 + group
        for week in range(WEEKS):
            if rng.random() < 0.25:
                continue
            now_and_then = int(rng.integers(6)) * 2 + group
            at = START + timedelta(weeks=week, hours=int(rng.integers(150)))
            beginners = {group + 12, group + 13} if week < 10 else set()
            for item in {int(staples[0]), int(staples[0]) + 1, int(staples[1]), now_and_then, now_and_then + 1} | beginners:
                rows.append((user, item, user * 1_000 + week, at, np.float32(1)))
    rows += [(*row, np.float32(1)) for row in straddling()]
    return pd.DataFrame(rows, columns=["user_idx", "item_idx", "order_key", "bought_at", "quantity"])


def straddling() -> list[tuple[int, int, int, datetime]]:
    """Return an order and a session that the holdout split's cut divides; their two items are in no other order."""
    before, after = CUTS["holdout"] - timedelta(hours=4), CUTS["holdout"] + timedelta(hours=4)
    order = [(5, SOLD_OUT, 90_000, before), (5, NEVER_ELSE, 90_000, after)]
    return [*order, (25, NEVER_ELSE, 90_001, before), (25, SOLD_OUT, 90_001, after)]


def make_shop(repeats: bool = True, side_tables: list[str] | None = None) -> Run:
    """Return a committed run with the tables that those besides the lists are made of, and fits of item_knn."""
    splits = {
        "ranker": Split("ranker", CUTS["ranker"], CUTS["holdout"]),
        "holdout": Split("holdout", CUTS["holdout"], AS_OF),
        "full": Split("full", AS_OF, None),
    }
    days = dict.fromkeys(POSITIVE_TYPES, 0.0 if repeats else FOR_EVER)
    config = Config(k=5, bootstrap_samples=200, had_days=days, side_tables=list(SIDE_TABLES) if side_tables is None else side_tables)
    manifest = RunManifest("shop", "shop", AS_OF, ("item_knn",), True, "test", splits, {}, config, repeats=repeats)
    run = Run.create(manifest, Settings.from_env())
    bought = orders()
    run.write("model_orders", pa.Table.from_pandas(bought, preserve_index=False))
    run.write("model_users", _with_missing("model_users", users()))
    run.write("model_items", _with_missing("model_items", items()))
    run.write("core_events", _with_missing("core_events", events(bought)))
    for name in run.splits:
        _write_split(run, run.split(name), bought)
    return run


def users() -> pd.DataFrame:
    """Return the users; one opted out."""
    numbers = np.arange(N_USERS, dtype=np.int32)
    return pd.DataFrame({"user_idx": numbers, "user_id": [f"u{n:02d}" for n in numbers], "opted_out": numbers == OPTED_OUT})


def items() -> pd.DataFrame:
    """Return the catalogue; one item is sold out."""
    numbers = np.arange(N_ITEMS, dtype=np.int32)
    columns = {"item_idx": numbers, "item_id": [f"i{n:02d}" for n in numbers], "title": [f"Article {n}" for n in numbers]}
    empty: list[list[str]] = [[] for _ in numbers]
    flags = {"is_available": numbers != SOLD_OUT, "is_promoted": False, "is_consumable": False}
    return pd.DataFrame(columns | {"categories": empty, "learnt_categories": empty} | flags)


def events(bought: pd.DataFrame) -> pd.DataFrame:
    """Return the orders as events."""
    ids = {"user_id": [f"u{n:02d}" for n in bought.user_idx], "item_id": [f"i{n:02d}" for n in bought.item_idx]}
    rows = pd.DataFrame(ids | {"event_type": "purchase", "event_at": bought.bought_at.to_numpy()})
    rows["event_at"] = bought.bought_at.to_list()
    return rows.assign(event_id=[str(n) for n in range(len(rows))], event_date=rows.event_at.dt.date)


def _write_split(run: Run, split: Split, bought: pd.DataFrame) -> None:
    seen = bought[bought.bought_at < split.cut]
    age = (split.cut - seen.bought_at).dt.total_seconds() / 86_400
    pairs = seen.assign(weight=0.5 ** (age / run.config.half_life_days)).groupby(["user_idx", "item_idx"])
    ends = {"first_event_at": ("bought_at", "min"), "last_event_at": ("bought_at", "max")}
    rows = pairs.agg(weight=("weight", "sum"), n_events=("weight", "size"), **ends).reset_index()
    run.write("model_interactions", pa.Table.from_pandas(rows, preserve_index=False), split.name)
    features = {name: 1 for name in table("model_item_features").column_names if name not in ("item_idx",)}
    of_items = pd.DataFrame({"item_idx": np.unique(seen.item_idx)}).assign(**features)
    run.write("model_item_features", pa.Table.from_pandas(of_items, preserve_index=False), split.name)
    if run.manifest.repeats:
        run.write("model_had", table("model_had").arrow_schema().empty_table(), split.name)
    with run.staged("models/item_knn", split.name) as folder:
        fits.fit_model("item_knn", fits.training_data(run, split.name, "item_knn"), {}, folder)


def _with_missing(name: str, rows: pd.DataFrame) -> pa.Table:
    missing = {column: None for column in table(name).column_names if column not in rows.columns}
    return table(name).conform(pa.Table.from_pandas(rows.assign(**missing), preserve_index=False))
