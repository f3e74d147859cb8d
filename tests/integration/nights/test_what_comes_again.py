"""The night of a shop whose users buy one item each week, look at another one, and buy what they looked at."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hybridrec.base.config import FOR_EVER
from hybridrec.base.settings import Settings
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import open_target, recommend
from hybridrec.sources import files
from tests.support import nightly, small_world

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARAMS = {"source": "files", "models": ["popularity", "item_knn", "own_frequency", "tifu_knn"], "k": 10}
LEFT_OUT = {"start_spark", "stop_spark", "write_report"}
OPTIONS = '[night]\nconsumable_categories = ["Sci-Fi"]\n[night.had_days]\nclick = inf\n'
SURFACES = '[surfaces.email]\nk = 3\nhistory = "new"\nonly_categories = ["Romance"]\n[surfaces.reminder]\nk = 4\nhistory = "again"\n'


def weekly(n: int) -> str:
    """Return the item that a user buys each week."""
    return f"i{(7 * n) % 38:02d}"


def looked_at(n: int) -> str:
    """Return the item that a user views on the last day."""
    return f"i{(7 * n + 1) % 38:02d}"


def clicked(n: int) -> str:
    """Return an item that a user clicks once; by the options it counts as had for ever, unless it is a consumable."""
    return f"i{(7 * n + 2) % 38:02d}"


def visits() -> pd.DataFrame:
    """Return the world's events, the weekly purchases, a view before each of the newest ones, views of the last day, and clicks."""
    start, end = small_world.START, small_world.AS_OF
    rows: list[tuple[str, str, str, datetime]] = []
    for n in range(small_world.N_USERS):
        user = f"u{n:02d}"
        weeks = pd.date_range(start + pd.Timedelta(hours=n), end - pd.Timedelta(hours=1), freq="7D")
        rows += [(user, weekly(n), "purchase", at) for at in weeks]
        rows += [(user, weekly(n), "view", at - pd.Timedelta(minutes=5)) for at in weeks]
        rows.append((user, looked_at(n), "view", end - pd.Timedelta(hours=2)))
        rows.append((user, clicked(n), "click", start + pd.Timedelta(hours=n)))
    world = small_world.events()
    return pd.concat([world, pd.DataFrame(rows, columns=world.columns)], ignore_index=True)


@pytest.fixture
def night(home: Path, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    home.mkdir(exist_ok=True)
    (home / "hybridrec.toml").write_text(OPTIONS + SURFACES)
    visits().to_parquet(folder / "events.parquet", coerce_timestamps="us")
    small_world.items().assign(is_available=True).to_parquet(folder / "items.parquet", coerce_timestamps="us")
    nightly.ByHand("again", PARAMS, LEFT_OUT, nightly.run_here).run(home, "ingest", "nightly_retrain")
    return Run.open("again")


def test_lists_hold_what_people_choose_again(night: Run) -> None:
    manifest = night.manifest
    assert manifest.repeats and {"own_frequency", "tifu_knn"} <= set(manifest.models)
    assert manifest.repeat_shares["purchase"] > 0.2
    assert (manifest.config.had_days["purchase"], manifest.config.had_days["click"]) == (0.0, FOR_EVER)
    lists = night.read("out_recommendations").to_pandas().set_index("user_id").item_ids
    users = range(small_world.N_USERS)
    assert sum(weekly(n) in lists[f"u{n:02d}"] for n in users) > 0.9 * len(users), "what is bought each week"
    ranked = set(zip(*night.read("model_ranked").select(["user_idx", "item_idx"]).to_pydict().values(), strict=True))
    assert all((n, int(looked_at(n)[1:])) in ranked for n in users), "what was viewed and not bought stands for choice"
    everyone_has_labels_that_repeat(night)
    what_was_clicked_is_had(night, lists)
    surfaces_have_their_own_lists(night)


def everyone_has_labels_that_repeat(night: Run) -> None:
    labels = night.read("model_labels", "holdout").to_pandas()
    history = night.read("model_interactions", "holdout").to_pandas()
    assert labels.merge(history, on=["user_idx", "item_idx"]).user_idx.nunique() > 0.9 * small_world.N_USERS
    candidates = night.read("model_candidates", "full", ["user_idx", "item_idx", "rank_own_frequency", "rank_item_knn"]).to_pandas()
    known = candidates.merge(night.read("model_interactions", "full").to_pandas(), on=["user_idx", "item_idx"])
    assert known.rank_own_frequency.notna().all() and known.rank_item_knn.isna().all(), "one list shows both, each from its own models"


def what_was_clicked_is_had(night: Run, lists: pd.Series[list[str]]) -> None:
    """Check lists and look-ups; items of the consumable category are never had."""
    catalogue = small_world.items().set_index("item_id").categories
    had = {f"u{n:02d}": clicked(n) for n in range(small_world.N_USERS) if "Sci-Fi" not in catalogue[clicked(n)]}
    eaten = [n for n in range(small_world.N_USERS) if "Sci-Fi" in catalogue[clicked(n)]]
    assert len(had) > 10 and not [user for user, item in had.items() if item in set(lists[user])]
    assert any(clicked(n) in lists[f"u{n:02d}"] for n in eaten)
    published = open_target(Settings.from_env())
    for user in list(had)[:5]:
        assert had[user] not in {entry.item_id for entry in recommend(published, user, 10).entries}


def surfaces_have_their_own_lists(night: Run) -> None:
    published = open_target(Settings.from_env())
    rows = night.read("out_surface_lists").to_pandas()
    assert list(rows.surface) == ["email"] * 61 + ["reminder"] * 61 and list(rows.user_id[:61]) == sorted(rows.user_id[:61])
    catalogue = small_world.items().set_index("item_id").categories
    events = visits()
    for n in range(5):
        user = f"u{n:02d}"
        had = set(events[events.user_id == user].item_id)
        own, email, reminder = (recommend(published, user, 10, surface=name) for name in ("recommendations", "email", "reminder"))
        assert {own.version} == {email.version, reminder.version}
        assert email.entries and all("Romance" in catalogue[e.item_id] and e.item_id not in had for e in email.entries)
        assert weekly(n) in {e.item_id for e in reminder.entries} <= had
        assert len(email.entries) <= 3 and len(reminder.entries) <= 4
