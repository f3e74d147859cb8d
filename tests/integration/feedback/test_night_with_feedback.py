"""A night learns from lists that were served: model_feedback, impressions, positions, figures."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.feedback.figures import FeedbackFigures, read_figures
from hybridrec.opening.new_run import Request, open_run
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.tables import table
from jobs import build_features, build_interactions
from tests.support import small_world

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SERVED_FROM = small_world.START + timedelta(days=30)
N_LISTS, LENGTH = 400, 4
ATTRIBUTION = timedelta(days=7)


def lists() -> pd.DataFrame:
    """Return core_served: a list every four hours, from the 30th day to the 96th, of items of the user's own group."""
    rows = []
    for n in range(N_LISTS):
        user, at = n % 58, SERVED_FROM + timedelta(hours=4 * n)
        group = 20 * (user >= 30)
        rows.append((f"{n:032x}", at, f"u{user:02d}", [f"i{group + (n + k) % 19:02d}" for k in range(LENGTH)]))
    frame = pd.DataFrame(rows, columns=["recommendation_id", "served_at", "user_id", "item_ids"])
    return frame.assign(surface="recommendations", version="v1", altered=False, k=LENGTH, served_date=frame.served_at.dt.date)


def events_of(served: pd.DataFrame) -> pd.DataFrame:
    """Return impressions of all positions but the last; the first one is clicked often, the third seldom, of every fifth list none."""
    rows = []
    for n, row in enumerate(served.to_dict("records")):
        if n % 5 == 0:
            continue
        for position, item in enumerate(row["item_ids"][:3], start=1):
            rows.append((row, position, item, "impression", row["served_at"]))
            if (n + position) % (2, 4, 8)[position - 1] == 0:
                rows.append((row, position, item, "click", row["served_at"] + timedelta(hours=1)))
    made = [
        (f"served~{number}", row["user_id"], item, kind, at, position, row["recommendation_id"])
        for number, (row, position, item, kind, at) in enumerate(rows)
    ]
    names = ["event_id", "user_id", "item_id", "event_type", "event_at", "position", "recommendation_id"]
    frame = pd.DataFrame(made, columns=names)
    return frame.assign(event_date=frame.event_at.dt.date)


def as_table(name: str, frame: pd.DataFrame) -> pa.Table:
    missing = {column: None for column in table(name).column_names if column not in frame.columns}
    return table(name).conform(pa.Table.from_pandas(frame.assign(**missing), preserve_index=False))


def opened(served: pd.DataFrame | None, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    small_world.write_core_tables()
    if served is not None:
        own = small_world.events().assign(event_date=lambda rows: rows.event_at.dt.date, event_id=lambda rows: rows.user_id + rows.item_id)
        more = events_of(served)
        both = pd.concat([own, more[more.event_at < small_world.AS_OF]])
        both["position"] = both.position.astype("Int32")
        small_world.commit_core_table("files", "core_events", as_table("core_events", both))
        small_world.commit_core_table("files", "core_served", as_table("core_served", served))
    return open_run(Request("night", "files", k=10), Settings.from_env())


def digest(run: Run, *names: str) -> str:
    files = [file for name in names for file in run.files(*name.split("/"))]
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def test_what_was_served_is_joined_with_what_came_of_it(home: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> None:
    served = lists()
    run = opened(served, monkeypatch)
    build_interactions.main(build_interactions.Params("night"))
    build_features.main(build_features.Params("night"))
    rows = run.read("model_feedback").to_pandas()
    mature = served[served.served_at <= run.manifest.as_of - ATTRIBUTION]
    assert 300 < len(mature) < N_LISTS and len(rows) == LENGTH * len(mature)
    told = rows[rows.shown_by == "impression"]
    assert told.groupby("position").shown.mean().tolist() == [1.0, 1.0, 1.0, 0.0]
    assert set(told.recommendation_id) == {name for n, name in enumerate(mature.recommendation_id) if n % 5}
    assert not rows[rows.shown_by.isna()].shown.any()
    clicks = rows[rows.clicked].groupby("position").size()
    assert clicks[1] > 1.5 * clicks[2] > 2 * clicks[3] > 0
    assert set(rows[rows.clicked].reward) == {0.5} and rows.probability.isna().all()

    figures = read_figures(run)
    assert figures is not None
    assert figures == FeedbackFigures(
        lists=N_LISTS,
        mature=len(mature),
        by_impression=told.recommendation_id.nunique(),
        by_click=0,
        positions=len(rows),
        shown=int(rows.shown.sum()),
        complete=int(rows.shown.sum()),
        clicked=int(rows.clicked.sum()),
        clicks=figures.clicks,
        orphan_clicks=0,
        two_users=0,
    )

    def before(at: datetime) -> pd.DataFrame:
        return rows[rows.served_at < at - ATTRIBUTION]

    split = run.split("ranker")
    positions = run.read("model_positions", "ranker").to_pandas()
    counted = before(split.cut)
    assert positions.n_impressions.tolist() == counted[counted.shown].groupby("position").size().tolist()
    assert positions.propensity.is_monotonic_decreasing and positions.propensity.iloc[2] < 0.6
    for name in ("ranker", "full"):
        shown = run.read("model_shown", name).to_pandas()
        assert shown.n_shown.sum() == before(run.split(name).cut).shown.sum()


def test_a_rerun_gives_the_same_bytes(home: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> None:
    run = opened(lists(), monkeypatch)
    names = ("model_feedback", "model_positions/ranker")
    build_interactions.main(build_interactions.Params("night"))
    first = digest(run, *names)
    build_interactions.main(build_interactions.Params("night"))
    assert digest(run, *names) == first


def test_a_night_without_served_lists_is_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> None:
    run = opened(None, monkeypatch)
    build_interactions.main(build_interactions.Params("night"))
    assert not store.is_committed(run.dataset("model_feedback")) and read_figures(run) is None
    assert set(run.manifest.inputs) == {"core_events", "core_items", "core_users"}


def test_a_window_of_no_days_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "hybridrec.toml").write_text("[night]\nattribution_days = 0\n")
    with pytest.raises(PermanentError, match="attribution_days is 0, expected more than 0 days"):
        opened(None, monkeypatch)
