"""The synthetic shop: the same for the same seed, as large as asked for, and with the habits that it promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.sources import synthetic
from hybridrec.tables import table


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> dict[str, pa.Table]:
    """Provide the default world's three tables."""
    return land(tmp_path / "raw", seed=7)


def land(folder: Path, seed: int) -> dict[str, pa.Table]:
    synthetic.land(Settings.from_env(), folder, seed)
    return {part: pq.read_table(folder / part) for part in ("events", "items", "users")}


def test_same_seed_same_bytes(shop: dict[str, pa.Table], tmp_path: Path) -> None:
    land(tmp_path / "again", seed=7)
    names = sorted(path.relative_to(tmp_path / "raw") for path in (tmp_path / "raw").rglob("*.parquet"))
    assert len(names) == 62
    assert all((tmp_path / "raw" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
    assert land(tmp_path / "other", seed=8)["events"] != shop["events"]


# The shop delivers none of them.
NOT_SIMULATED = {
    "event_date",
    "standing",
    "order_id",
    "quantity",
    "opted_out",
    "is_consumable",
    "margin",
    "vector",
}  # the shop delivers none


def test_size_and_columns_are_as_declared(shop: dict[str, pa.Table]) -> None:
    assert 0.85 * 50_000 < shop["events"].num_rows < 1.15 * 50_000
    for part, rows in shop.items():
        definition = table(f"core_{part}")
        assert set(definition.column_names) - set(rows.column_names) <= NOT_SIMULATED
        assert set(rows.column_names) <= set(definition.column_names)
        for column in definition.columns:
            if not column.nullable and column.name in rows.column_names:
                assert rows[column.name].null_count == 0, column.name
        assert pc.count_distinct(rows[definition.key[0]]).as_py() == rows.num_rows


def test_events_refer_to_what_exists_and_follow_from_each_other(shop: dict[str, pa.Table]) -> None:
    events = shop["events"].to_pandas()
    assert set(events.item_id) <= set(shop["items"]["item_id"].to_pylist())
    assert set(events.user_id) <= set(shop["users"]["user_id"].to_pylist())
    counts = events.event_type.value_counts()
    assert counts["impression"] > counts["click"] == counts["view"] > counts["add_to_cart"] > counts["purchase"] > counts["rating"] > 0
    pairs = {kind: set(zip(rows.session_id, rows.item_id, strict=True)) for kind, rows in events.groupby("event_type")}
    assert pairs["rating"] <= pairs["purchase"] <= pairs["add_to_cart"] <= pairs["click"] <= pairs["impression"]
    assert events.groupby("session_id").user_id.nunique().max() == 1


def test_nothing_happens_before_its_time(shop: dict[str, pa.Table]) -> None:
    events = shop["events"].to_pandas()
    released = shop["items"].to_pandas().set_index("item_id").released_at
    joined = shop["users"].to_pandas().set_index("user_id").joined_at
    assert (events.event_at >= events.item_id.map(released)).all()
    assert (events.event_at >= events.user_id.map(joined)).all()
    assert (released >= "2024-01-02").sum() > 100  # new items on most days


def test_power_laws_cold_users_stock_and_promotions(shop: dict[str, pa.Table]) -> None:
    events, items, users = (shop[part].to_pandas() for part in ("events", "items", "users"))
    for column in ("user_id", "item_id"):
        sizes = np.sort(events.groupby(column).size().to_numpy())[::-1]
        assert sizes[: len(sizes) // 10].sum() > 0.25 * sizes.sum(), column
    assert 0 < len(set(users.user_id) - set(events.user_id)) < len(users) / 3
    assert 0.01 < (~items.is_available).mean() < 0.1
    assert 0.01 < items.is_promoted.mean() < 0.12


def test_users_have_a_taste_beyond_popularity(shop: dict[str, pa.Table]) -> None:
    events = shop["events"].to_pandas()
    events["category"] = events.item_id.map(shop["items"].to_pandas().set_index("item_id").categories.str[0])
    clicks = events[events.event_type == "click"]
    active = clicks.groupby("user_id").filter(lambda rows: len(rows) >= 20)
    favourite = active.groupby("user_id").category.agg(lambda rows: rows.value_counts(normalize=True).iloc[0])
    overall = clicks.category.value_counts(normalize=True).iloc[0]
    assert favourite.mean() > 2 * overall


def test_positions_lose_clicks(shop: dict[str, pa.Table]) -> None:
    events = shop["events"].to_pandas()
    clicks, shown = (events[events.event_type == kind].groupby("position").size() for kind in ("click", "impression"))
    rate = clicks / shown
    assert rate[1] > 1.5 * rate[8]


def test_options_come_from_the_configuration(home: Path, tmp_path: Path) -> None:
    (home / "hybridrec.toml").write_text("[sources.synthetic]\nn_users = 20\nn_items = 30\nn_events = 900\nn_days = 3\n")
    shop = land(tmp_path / "raw", seed=1)
    assert (shop["users"].num_rows, shop["items"].num_rows) == (20, 30)
    assert len(list((tmp_path / "raw" / "events").iterdir())) == 3


def test_a_day_of_many_events_comes_in_parts(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "hybridrec.toml").write_text("[sources.synthetic]\nn_days = 3\nn_events = 9_000\n")
    monkeypatch.setattr(synthetic, "PART_EVENTS", 1_000)
    events = land(tmp_path / "raw", seed=1)["events"]
    names = sorted(path.name for path in (tmp_path / "raw" / "events").iterdir())
    assert (len(names), names[:2]) == (9, ["2024-01-01-000.parquet", "2024-01-01-001.parquet"])
    assert pc.count_distinct(events["event_id"]).as_py() == events.num_rows > 7_500
    assert pc.count_distinct(events["session_id"]).as_py() > 700


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("n_items = 5", r"n_items = 5; expected at least 12"),
        ('first_day = "soon"', r"first_day = 'soon'; expected a date as 2024-01-31"),
        ("n_user = 5", r"there is no option 'n_user'; did you mean n_users\?"),
    ],
)
def test_senseless_options_are_refused(home: Path, tmp_path: Path, line: str, message: str) -> None:
    (home / "hybridrec.toml").write_text(f"[sources.synthetic]\n{line}\n")
    with pytest.raises(PermanentError, match=message):
        land(tmp_path / "raw", seed=1)
