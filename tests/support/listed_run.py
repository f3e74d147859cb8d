"""The small world's run taken on to ranked rows and to final lists, without Spark."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest

from hybridrec.reranking.inputs import load_inputs, read_items, write_inputs
from hybridrec.reranking.popular import popular_items, popularity
from hybridrec.reranking.published_lists import make_lists
from hybridrec.reranking.similar import similar_items
from hybridrec.runs.run import Run
from hybridrec.side_tables.made import write_tables
from hybridrec.training import fits
from tests.support import small_world
from tests.support.small_world import N_ITEMS, N_USERS

NO_ROWS = {7, 58}  # users whom no source reached


def ranked_rows() -> pa.Table:
    """Return random lists, some of them over seen or unavailable items: only the rules keep those out."""
    rng = np.random.default_rng(1)
    rows = []
    for user in sorted(set(range(N_USERS)) - NO_ROWS):
        items = rng.choice(N_ITEMS, 15, replace=False)
        scores = np.sort(rng.normal(0, 1, 15))[::-1]
        for place, (item, score) in enumerate(zip(items, scores, strict=True)):
            sources = ["content_attributes", "als"] if item % 2 else ["item_knn"]
            rows.append((user, item, score, place + 1, "stacking" if user < 50 else "weighted", sources, ["score_als"]))
    names = ["user_idx", "item_idx", "score", "rank", "strategy", "sources", "top_features"]
    return pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=names)


def add_ranked(run: Run) -> Run:
    """Fit the models that know similar items, and write model_ranked."""
    for model in ("item_knn", "content_attributes"):
        with run.staged(f"models/{model}", "full") as folder:
            fits.fit_model(model, fits.training_data(run, "full", model), {}, folder)
    run.write("model_ranked", ranked_rows())
    return run


def add_lists(run: Run) -> Run:
    """Write all out_* tables that are published, as jobs.apply_rules does."""
    with TemporaryDirectory() as folder:
        found = write_inputs(run, Path(folder))
        inputs = load_inputs(run, Path(folder))
        users = run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")
        run.write("out_recommendations", make_lists(users, run.read("model_ranked"), inputs))
    items = read_items(run)
    run.write("out_similar_items", similar_items(found, items, run.config.k))
    run.write("out_popular_items", popular_items(popularity(run.read("model_item_features", "full"), len(items)), items))
    write_tables(run, items)
    run.write("out_items", run.read("model_items", columns=["item_id", "title", "categories", "is_available"]))
    return run


@pytest.fixture(scope="session")
def ranked_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a home with the small world's run taken on to model_ranked; made once, to be copied."""
    folder = tmp_path_factory.mktemp("ranked_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(folder))
        add_ranked(small_world.make_run())
    return folder


@pytest.fixture
def ranked_run(home: Path, ranked_home: Path) -> Run:
    """Provide the small world's run with the models that know similar items, and model_ranked of 15 rows for all users but NO_ROWS."""
    shutil.copytree(ranked_home, home, dirs_exist_ok=True)
    return Run.open("small")


@pytest.fixture(scope="session")
def listed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a home with the small world's run taken on to its lists; made once, to be copied."""
    folder = tmp_path_factory.mktemp("listed_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(folder))
        add_lists(add_ranked(small_world.make_run()))
    return folder


@pytest.fixture
def listed(home: Path, listed_home: Path) -> Run:
    """Provide the small world's run with all its published tables."""
    shutil.copytree(listed_home, home, dirs_exist_ok=True)
    return Run.open("small")
