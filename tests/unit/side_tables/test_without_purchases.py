"""Without purchases the odds are learnt from the choices of all users, not of those alone whose labels are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.base.config import Config
from hybridrec.base.settings import Settings
from hybridrec.runs.run import Run, RunManifest, Split
from hybridrec.side_tables import buy_again
from hybridrec.tables import table

CUT = datetime(2026, 3, 1, tzinfo=UTC)
END = CUT + timedelta(days=10)
N_USERS, N_ITEMS = 400, 10
TYPES = ("click", "view")


def make_run(config: Config, event_types: tuple[str, ...] = ()) -> Run:
    """Return a run in which each user viewed two items, and one of them again in the label window; labels are of every 20th user."""
    splits = {"ranker": Split("ranker", CUT, END), "holdout": Split("holdout", END, END + timedelta(days=10))}
    manifest = RunManifest("news", "news", END, (), False, "test", splits, {}, config, repeats=True, event_types=event_types)
    run = Run.create(manifest, Settings.from_env())
    users = pd.DataFrame({"user_idx": np.arange(N_USERS), "user_id": [f"u{n:03d}" for n in range(N_USERS)], "opted_out": False})
    run.write("model_users", with_missing("model_users", users))
    first = pd.DataFrame({"user_idx": np.repeat(np.arange(N_USERS), 2), "item_idx": np.tile([0, 1], N_USERS)})
    first["last_event_at"] = CUT - pd.to_timedelta(first.item_idx * 5 + 1 + first.user_idx % 3, "D")
    again = first[first.item_idx == 0].assign(last_event_at=CUT + timedelta(days=1))
    for split, rows in (("ranker", first), ("holdout", pd.concat([again, first[first.item_idx == 1]]))):
        pairs = rows.assign(weight=1.0, n_events=1, first_event_at=rows.last_event_at)
        run.write("model_interactions", with_missing("model_interactions", pairs), split)
    labels = again[again.user_idx % 20 == 0].assign(gain=1.0)
    run.write("model_labels", with_missing("model_labels", labels.drop(columns="last_event_at")), "ranker")
    if event_types:
        clicked = again[again.user_idx < N_USERS // 2].assign(event_type="click")
        visited = pd.concat([first.assign(event_type="view"), again.assign(event_type="view"), clicked])
        run.write("model_visits", with_missing("model_visits", visited.rename(columns={"last_event_at": "event_at"})), "holdout")
    return run


def with_missing(name: str, rows: pd.DataFrame) -> pa.Table:
    missing = {column: None for column in table(name).column_names if column not in rows.columns}
    return table(name).conform(pa.Table.from_pandas(rows.assign(**missing), preserve_index=False))


def likelihoods(run: Run) -> np.ndarray:
    """Return the mean likelihood that items 0 and 1 come again."""
    odds = buy_again.learnt_odds(run, "holdout", N_ITEMS)
    assert odds is not None
    bought = buy_again.bought_in(run, "ranker", range(N_USERS), N_ITEMS)
    scores = buy_again.likelihoods(odds, buy_again.habits_of(run, "ranker", N_ITEMS), bought)
    return np.array([scores[bought.item == item].mean() for item in (0, 1)])


def test_users_without_kept_labels_are_no_proof_that_nothing_comes_again(home: Path) -> None:
    assert likelihoods(make_run(Config())) == pytest.approx([1, 0], abs=0.1)


def test_only_types_that_are_labels_come_again(home: Path) -> None:
    found = likelihoods(make_run(replace(Config(), label_types=["click"]), TYPES))
    assert found == pytest.approx([0.5, 0], abs=0.1)
