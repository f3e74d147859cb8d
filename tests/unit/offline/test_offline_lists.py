"""Output of the benchmark: all users' lists, filled up, and each retriever's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from hybridrec.offline.exported_lists import write_candidates, write_recommendations
from hybridrec.runs.run import SPLITS, Run
from jobs import train_model

K = 8


def test_everybody_gets_unseen_items_and_the_ranked_ones_first(small_run: Run, tmp_path: Path) -> None:
    train_model.main(train_model.Params("small", "popularity", "full"))
    history = small_run.read("model_interactions", "full").to_pandas()
    unseen = sorted(set(range(40)) - set(history[history.user_idx == 0].item_idx))
    ranked = {"user_idx": [0, 0], "item_idx": [unseen[3], unseen[1]], "score": [2.0, 1.0], "rank": [1, 2], "strategy": ["stacking"] * 2}
    ranked |= {"sources": [["als", "ease"], ["als"]], "top_features": [["z_als"], []]}
    small_run.write("model_ranked", pa.table(ranked))
    n_rows = write_recommendations(small_run, tmp_path / "recommendations.parquet", K)
    found = pd.read_parquet(tmp_path / "recommendations.parquet")
    assert n_rows == len(found) == K * history.user_idx.nunique(), "users without an event have no row"
    assert not set(zip(found.user_id, found.item_id, strict=True)) & {
        (f"u{u:02d}", f"i{i:02d}") for u, i in history[["user_idx", "item_idx"]].to_numpy()
    }
    assert (
        not found.duplicated(["user_id", "item_id"]).any()
        and (found.groupby("user_id")["rank"].apply(list).map(lambda r: r == list(range(1, K + 1)))).all()
    )
    assert (found.groupby("user_id").score.diff().dropna() <= 0).all()
    first = found[found.user_id == "u00"]
    assert first.item_id.tolist()[:2] == [f"i{unseen[3]:02d}", f"i{unseen[1]:02d}"]
    assert first.reason.tolist()[:3] == ["stacking: als,ease", "stacking: als", "popularity"]


def test_each_retriever_has_a_file_of_its_own(small_run: Run, tmp_path: Path) -> None:
    for model in ("popularity", "item_knn"):
        for split in SPLITS:
            train_model.main(train_model.Params("small", model, split))
    write_candidates(small_run, tmp_path, K, at_once=1)
    assert sorted(path.name for path in tmp_path.glob("candidates_*")) == ["candidates_item_knn.parquet", "candidates_popularity.parquet"]
    found = pd.read_parquet(tmp_path / "candidates_popularity.parquet")
    assert (found.groupby("user_id").size() == K).all() and found["rank"].max() == K
