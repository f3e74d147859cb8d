"""Two deliveries and the night after the second: what has left, and what people dislike, is in no list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from hybridrec.base.settings import Settings
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import open_target, recommend
from hybridrec.sources import files
from tests.support import nightly, small_world

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GONE_ITEMS = ["i00", "i01", "i02", "i20", "i21", "i22"]  # the most popular of both groups
HATED, TORN = "i03", "i23"  # everybody rates the first low; the second has low ratings, and more that speak for it
GONE_USERS, ERASED = ["u10", "u11"], "u12"
PARAMS = {"source": "files", "models": ["popularity", "item_knn"], "k": 10}
LEFT_OUT = {"start_spark", "stop_spark", "write_report"}


def ratings() -> pd.DataFrame:
    """Return the world's events as ratings of 4 and 5 stars, besides 1 star for the hated item from nearly everybody who has it not."""
    liked = small_world.events().query("item_id != @HATED")
    liked = liked.assign(event_type="rating", rating=4.0 + np.arange(len(liked)) % 2)
    low = [(f"u{n:02d}", HATED, "rating", small_world.START + pd.Timedelta(hours=n), 1.0) for n in range(50)]
    few = [(f"u{n:02d}", TORN, "rating", small_world.START + pd.Timedelta(hours=n), 1.0) for n in range(5)]
    bought = [("u00", HATED, "purchase", small_world.START, None)]  # before they rated it
    return pd.concat([liked, pd.DataFrame([*low, *few, *bought], columns=liked.columns)], ignore_index=True)


@pytest.fixture
def night(home: Path, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    ratings().to_parquet(folder / "events.parquet", coerce_timestamps="us")
    items, users = small_world.items().assign(is_available=True), small_world.users()
    items.to_parquet(folder / "items.parquet", coerce_timestamps="us")
    users.to_parquet(folder / "users.parquet", coerce_timestamps="us")
    nightly.ByHand("day1", PARAMS, LEFT_OUT, nightly.run_here).run(home, "ingest")
    items.query("item_id not in @GONE_ITEMS").to_parquet(folder / "items.parquet", coerce_timestamps="us")
    stay = users.query("user_id not in @GONE_USERS")
    stay.assign(standing=np.where(stay.user_id == ERASED, "removed", None)).to_parquet(  # type: ignore[call-overload]
        folder / "users.parquet", coerce_timestamps="us"
    )
    nightly.ByHand("day2", PARAMS, LEFT_OUT, nightly.run_here).run(home, "ingest", "nightly_retrain")
    return Run.open("day2")


def test_what_has_left_and_what_is_disliked_is_in_no_list(night: Run) -> None:
    no_list_holds_it(night)
    a_low_rating_is_had_and_not_liked(night)


def no_list_holds_it(night: Run) -> None:
    """Check all users' lists, the popular and the similar items, and the look-up for an unknown user."""
    unwanted = {*GONE_ITEMS, HATED}
    lists = night.read("out_recommendations").to_pandas()
    assert sum(len(unwanted.intersection(row)) for row in lists.item_ids) == 0
    assert lists.item_ids.map(len).min() == 10
    assert len(lists) == small_world.N_USERS - 3
    assert not {*GONE_USERS, ERASED} & set(lists.user_id)
    assert not unwanted & set(night.read("out_popular_items")["item_id"].to_pylist())
    assert not any(unwanted.intersection(row) for row in night.read("out_similar_items")["item_ids"].to_pylist())
    shown = night.read("out_items").to_pandas().set_index("item_id")
    assert not shown.is_available[GONE_ITEMS].any()
    assert shown.is_available[HATED]  # it can be had, it is not recommended

    published = open_target(Settings.from_env())
    for user in [*lists.user_id[:5], *GONE_USERS, ERASED, "stranger"]:
        entries = recommend(published, user, 10).entries
        assert len(entries) == 10
        assert not unwanted & {entry.item_id for entry in entries}
    similar = published.read_similar("i05", 10)
    assert similar is not None and not unwanted & {entry.item_id for entry in similar.entries}


def a_low_rating_is_had_and_not_liked(night: Run) -> None:
    """Check that no model learns from the pair and no candidates hold it; the threshold is the middle of the scale."""
    assert night.config.liked_from == 2.5
    items = night.read("model_items").to_pandas().set_index("item_id").item_idx
    users = night.read("model_users").to_pandas().set_index("user_id").user_idx
    pairs = night.read("model_interactions", "full").to_pandas()
    assert items[HATED] not in set(pairs.item_idx)  # not even the purchase before the rating
    assert items[TORN] in set(pairs.item_idx)
    disliked = night.read("model_disliked", "full").to_pandas()
    assert set(disliked.user_idx[disliked.item_idx == items[HATED]]) == {users[f"u{n:02d}"] for n in range(50) if f"u{n:02d}" in users}
    lists = night.read("out_recommendations").to_pandas().set_index("user_id").item_ids
    for n in range(5):
        assert TORN not in lists[f"u{n:02d}"]
    assert any(TORN in row for row in lists)
    assert not disliked.merge(night.read("model_candidates", "full").to_pandas(), on=["user_idx", "item_idx"]).size
