"""Rows of model_feedback, as the look-up's log gives them, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hybridrec.bandits import Counts
from hybridrec.runs.run import Run
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.storage import store

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("recommendation_id", "user_id", "item_id", "version", "surface", "experiment", "variant", "arm")
        ),
        ("position", pa.int32()),
        ("served_at", pa.timestamp("us", tz="UTC")),
        ("probability", pa.float32()),
        ("arm_probability", pa.float32()),
        ("shown", pa.bool_()),
        ("clicked", pa.bool_()),
        ("reward", pa.float32()),
    ]
)


def feedback(answers: Sequence[tuple[str, str | None, float | None, Sequence[bool], datetime]]) -> pa.Table:
    """Return the rows of answers: user, arm, probability, whether each place was clicked, when it was served."""
    rows = []
    for number, (user, arm, probability, clicks, served_at) in enumerate(answers):
        for position, clicked in enumerate(clicks, start=1):
            rows.append(
                {
                    "recommendation_id": f"r{number:06d}",
                    "position": position,
                    "user_id": user,
                    "item_id": f"i{position:02d}",
                    "served_at": served_at,
                    "version": f"v{served_at:%Y%m%d}",
                    "surface": "recommendations",
                    "arm": arm,
                    "probability": probability,
                    "arm_probability": probability,
                    "shown": True,
                    "clicked": clicked,
                    "reward": float(clicked),
                }
            )
    return pa.Table.from_pylist(rows, SCHEMA)


def of_draws(
    chances: dict[str, dict[str, float]], distribution: dict[str, dict[str, float]], n_users: int, days: int, seed: int, until: datetime
) -> pa.Table:
    """Return answers of one place each: users of each segment draw an arm a day by the distribution, and click by the arm's chance."""
    rng = np.random.default_rng(seed)
    frames = []
    for segment, of_arms in chances.items():
        arms = list(of_arms)
        probabilities = np.array([distribution[segment][arm] for arm in arms])
        for day in range(days):
            drawn = rng.choice(len(arms), n_users, p=probabilities)
            clicked = rng.random(n_users) < np.array([of_arms[arm] for arm in arms])[drawn]
            frames.append(
                pd.DataFrame(
                    {
                        "user_id": [f"{segment}{n:05d}" for n in range(n_users)],
                        "arm": [f"{segment}:{arms[number]}" for number in drawn],
                        "probability": probabilities[drawn].astype(np.float32),
                        "clicked": clicked,
                        "reward": clicked.astype(np.float32),
                        "served_at": until - timedelta(days=day + 2),
                    }
                )
            )
    rows = pd.concat(frames, ignore_index=True)
    rows["recommendation_id"], rows["item_id"] = [f"r{n:08d}" for n in range(len(rows))], "i01"
    rows = rows.assign(arm_probability=rows["probability"], version=rows["served_at"].dt.strftime("v%Y%m%d"))
    rows = rows.assign(position=1, surface="recommendations", experiment=None, variant=None, shown=True)
    return pa.Table.from_pandas(rows[SCHEMA.names], SCHEMA, preserve_index=False)


def commit(run: Run, rows: pa.Table) -> None:
    """Make the rows the run's model_feedback."""
    folder = run.dataset("model_feedback")
    with store.attempted(folder) as attempt:
        pq.write_table(rows, attempt / "part-0.parquet")
        store.commit(folder, store.Manifest(store.files_below(folder, attempt), rows.num_rows))


def counts_of(successes: dict[str, list[float]], trials: dict[str, list[float]]) -> Counts:
    """Return counts by segment; segments that are left out have none."""
    n = len(next(iter(trials.values())))
    arrays = (np.array([of.get(segment, [0.0] * n) for segment in SEGMENTS], dtype=np.float64) for of in (successes, trials))
    return Counts(*arrays)
