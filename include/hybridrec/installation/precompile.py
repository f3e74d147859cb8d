"""Prepare the first night at installation: compile every loop and load Spark's classes. `python -m hybridrec.installation.precompile`.

The first night after an installation would compile the loops, each process for itself: half a minute on two cores.
Tiny fits, lists and trees go through the product's own functions, so that loops meet the types that a night gives them.
Each of Spark's servers would read, check and link some 20,000 classes: a third of what its first job takes.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from hybridrec.base.settings import Settings
from hybridrec.candidates import candidate_blocks
from hybridrec.dataset.content import SimilarContent, item_vectors
from hybridrec.execution.spark import archive_classes
from hybridrec.metrics import metrics
from hybridrec.ranking.forest import Forest
from hybridrec.ranking.forest_arrays import MAX_LEAVES, Nodes, Paths
from hybridrec.training.fits import fit_model, load_fit
from hybridrec.types import KnowsSimilarItems, PairScorer, TrainingData, UserBlock

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Between them they have every way to search and to score, and no network.
MODELS = ("als", "content_attributes", "graph_filter", "item_knn", "pure_svd", "rp3beta", "sequence_knn", "user_knn")
N_USERS, N_ITEMS = 30, 40


def main() -> None:
    """Compile the loops and keep Spark's classes."""
    compile_loops()
    with tempfile.TemporaryDirectory() as folder:
        archive_classes(replace(Settings.from_env(), home=Path(folder)), query)


def compile_loops() -> None:
    """Compile one family of loops after another."""
    with tempfile.TemporaryDirectory() as folder:
        search(Path(folder))
    judge()
    score_by_trees()


def search(folder: Path) -> None:
    """Retrieve from models as a night's workers load them: mapped from files."""
    data = training_data()
    models: dict[str, PairScorer] = {}
    for name in MODELS:
        (folder / name).mkdir()
        fit_model(name, data, {}, folder / name)
        models[name] = load_fit(name, folder / name)
    users = UserBlock(np.arange(N_USERS, dtype=np.int32), data.matrix, data.last_event_day.astype(np.float32))
    candidate_blocks.candidate_block(models, users, np.ones(N_ITEMS, np.bool_), pool_k=5, pool_size=20)
    for model in models.values():
        if isinstance(model, KnowsSimilarItems):
            model.similar(np.arange(N_ITEMS, dtype=np.int32), 5)
    SimilarContent(item_vectors(data.items)).similar(np.arange(N_ITEMS, dtype=np.int32), 5)


def training_data() -> TrainingData:
    """Return events of some users with some items, a fifth of all pairs."""
    rng = np.random.default_rng(1)
    matrix = csr_array((rng.random((N_USERS, N_ITEMS)) < 0.2).astype(np.float32))
    items = pd.DataFrame(
        {
            "item_idx": np.arange(N_ITEMS),
            "item_id": [str(number) for number in range(N_ITEMS)],
            "title": "a title",
            "description": None,
            "categories": [[str(number % 3)] for number in range(N_ITEMS)],
            "brand": None,
            "provider": None,
            "price": np.float32(1),
            "is_available": True,
            "is_promoted": False,
            "is_consumable": False,
            "released_at": pd.Series([pd.NaT] * N_ITEMS, dtype="datetime64[us, UTC]"),
        }
    )
    users = pd.DataFrame({"user_idx": np.arange(N_USERS), "age_years": 30, "gender": "F", "occupation": None, "region": None})
    days = rng.uniform(1, 50, matrix.nnz)
    return TrainingData(matrix, days, items, np.full(N_ITEMS, 60, np.float32), users, seed=1, threads=1)


def query(session: SparkSession) -> None:
    """Run the operations of Spark jobs: files, aggregates, windows, joins, and Python over Arrow."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    with tempfile.TemporaryDirectory() as folder:
        rows = session.range(1000).select(
            F.col("id"),
            (F.col("id") % 7).cast("int").alias("user"),
            F.col("id").cast("string").alias("text"),
            F.timestamp_seconds(F.col("id") * 86_400).alias("at"),
        )
        rows.withColumn("day", F.to_date("at")).repartition(2, "user").write.partitionBy("user").parquet(f"{folder}/rows")
        read = session.read.parquet(f"{folder}/rows").filter(F.col("id") > 3)
        newest = F.row_number().over(Window.partitionBy("user").orderBy(F.desc("at"), "id"))
        ranked = read.withColumn("rank", newest).filter("rank <= 100").withColumn("weight", F.exp(-F.col("rank") / 10))
        pairs = F.array_sort(F.collect_list(F.struct("id", "weight")))
        lists = ranked.groupBy("user").agg(F.countDistinct("text").alias("n"), F.sum("weight").alias("total"), pairs.alias("pairs"))
        joined = ranked.join(lists, "user", "left").join(F.broadcast(rows.select("id", F.lower("text").alias("name"))), "id")
        whole = joined.select("user", "n", "total", F.col("pairs.id").alias("ids"), "name")
        whole.mapInArrow(lambda batches: batches, whole.schema).sort("user").write.parquet(f"{folder}/whole")
        session.read.parquet(f"{folder}/whole").unionByName(whole).distinct().toArrow()


def judge() -> None:
    """Compute every metric of two users' lists."""
    users, items = np.arange(2, dtype=np.int32), np.array([[0, 1], [1, 0]], dtype=np.int32)
    judged = metrics.judge_items(items, metrics.Labels(users, np.array([0, 1, 2]), users, np.ones(2, np.float32)))
    metrics.ndcg(judged, 2)
    metrics.novelty(items, np.ones(2), 2, 2)
    metrics.diversity(items, csr_array(np.eye(2, dtype=np.float32)), 2)
    metrics.exposure(items, 2, 2)


def score_by_trees() -> None:
    """Score by a tree of one node."""
    bits = np.array([~np.uint64(1)])
    nodes = Nodes(np.array([0, 1]), np.zeros(1, np.float32), np.zeros(1, np.int32), bits)
    paths = Paths(np.zeros(MAX_LEAVES + 1, np.int64), np.zeros(1, np.int32), np.zeros(1))
    forest = Forest(nodes, nodes, np.zeros((1, MAX_LEAVES)), paths)
    rows = np.zeros((2, 1), np.float32)
    forest.predict(rows)
    forest.moves(rows)


if __name__ == "__main__":
    main()
