"""The ranker learns what labels carry, shrinks to the blend without, and refuses other columns."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.ranking.ranker import Blend, Ranker, mixed
from hybridrec.ranking.ranker_fit import NO_TREES, Config, TreeChoice, better, fit_ranker
from tests.support import made_candidates

CONFIG = Config(max_rounds=40, min_rows_in_leaf=10, k=5)


def world(n_users: int, signal: float, seed: int = 1) -> tuple[CandidateSet, np.ndarray]:
    """Return users with 20 candidates each; gains follow column `hidden` with strength `signal`, scores are noise."""
    rng = np.random.default_rng(seed)
    n = n_users * 20
    hidden, noise = rng.normal(size=n), rng.normal(size=n)
    chance = 1 / (1 + np.exp(3 - signal * hidden))
    gains = (rng.random(n) < chance).astype(np.float32)
    users = np.repeat(np.arange(n_users), 20).tolist()
    candidates = made_candidates.candidates_by_hand(
        users, list(range(20)) * n_users, score_a=noise, z_a=noise, mean_z=noise, rank_a=noise, hidden=hidden, n_sources=[1] * n
    )
    return candidates, gains


def test_learns_a_signal_that_the_blend_lacks() -> None:
    candidates, gains = world(150, signal=4.0)
    ranker, metrics = fit_ranker(candidates, gains, CONFIG, seed=5, threads=1)
    assert ranker.mix > 0
    assert metrics["ndcg"] > metrics["plain_ndcg"] + 0.2
    scores = ranker.score(candidates)
    assert scores[gains > 0].mean() > scores[gains == 0].mean() + 0.5


def test_trees_do_not_lift_what_lies_deep() -> None:
    """Labels follow the blend, some lie deep: trees that saw only the best of the rest would take depth for a sign of a label."""
    n_users, n = 80, 300
    rng = np.random.default_rng(4)
    z = rng.normal(size=n_users * n)
    gains = (rng.random(len(z)) < 1 / (1 + np.exp(5 - z))).astype(np.float32)
    users, items = np.repeat(np.arange(n_users), n).tolist(), list(range(n)) * n_users
    candidates = made_candidates.candidates_by_hand(users, items, score_a=z, z_a=z, mean_z=z, rank_a=z, n_sources=[1] * len(z))
    ranker, _ = fit_ranker(candidates, gains, replace(CONFIG, rounds=40, mix=1.0), seed=5, threads=1)
    top = ranker.score(candidates).reshape(n_users, n).argsort(axis=1)[:, -10:]
    assert np.take_along_axis(z.reshape(n_users, n), top, axis=1).mean() > 1.2  # the best ten of 300 have 2.1 on average


def test_shrinks_to_the_blend_when_nothing_can_be_learnt() -> None:
    candidates, gains = world(8, signal=0.0)
    ranker, _ = fit_ranker(candidates, gains, CONFIG, seed=5, threads=1)
    assert ranker.mix == 0
    assert_array_equal(ranker.score(candidates), mixed(candidates, candidates.features["mean_z"], np.zeros(len(gains)), 0.0))
    assert ranker.top_features(candidates, np.array([0, 3])) == [["mean_z"], ["mean_z"]]


def test_one_labelled_user_gives_the_blend() -> None:
    candidates, gains = world(1, signal=4.0)
    gains[:2] = 1.0
    ranker, _ = fit_ranker(candidates, gains, CONFIG, seed=5, threads=1)
    assert ranker.mix == 0


def test_no_label_in_the_candidates_gives_the_blend(tmp_path: Path) -> None:
    candidates, gains = world(5, signal=1.0)
    ranker, _ = fit_ranker(candidates, np.zeros_like(gains), CONFIG, seed=5, threads=1)
    ranker.save(tmp_path)
    assert_array_equal(Ranker.load(tmp_path).score(candidates), mixed(candidates, candidates.features["mean_z"], np.zeros(len(gains)), 0.0))


def test_same_seed_same_files_on_any_number_of_threads_and_load_equals_save(tmp_path: Path) -> None:
    candidates, gains = world(60, signal=4.0)
    found = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        folder.mkdir()
        ranker, _ = fit_ranker(candidates, gains, CONFIG, seed=5, threads=threads)
        ranker.save(folder)
        found.append([(folder / name).read_bytes() for name in ("trees-0.txt", "trees-3.txt", "trees-3.npz", "columns.json")])
    assert found[0] == found[1]
    assert_array_equal(Ranker.load(tmp_path / "1").score(candidates), ranker.score(candidates))


def test_loading_needs_no_lightgbm_but_for_trees_that_are_text_alone(tmp_path: Path) -> None:
    candidates, gains = world(60, signal=4.0)
    ranker, _ = fit_ranker(candidates, gains, CONFIG, seed=5, threads=1)
    ranker.save(tmp_path)
    load = "import sys; from pathlib import Path; from hybridrec.ranking.ranker import Ranker; Ranker.load(Path(sys.argv[1]))"
    asked = f"{load}; print('lightgbm' in sys.modules)"
    outputs = []
    for arrays in (list(tmp_path.glob("*.npz")), []):
        done = subprocess.run([sys.executable, "-c", asked, str(tmp_path)], capture_output=True, text=True, check=True)
        outputs.append(done.stdout.strip())
        for file in arrays:
            file.unlink()
    assert outputs == ["False", "True"]
    assert_array_equal(Ranker.load(tmp_path).score(candidates), ranker.score(candidates))


def test_refuses_missing_and_unknown_columns() -> None:
    candidates, gains = world(60, signal=4.0)
    ranker, _ = fit_ranker(candidates, gains, CONFIG, seed=5, threads=1)
    renamed = {("hidden2" if name == "hidden" else name): values for name, values in candidates.features.items()}
    with pytest.raises(PermanentError, match=r"missing \['hidden'\], unknown \['hidden2'\]"):
        ranker.score(replace(candidates, features=renamed))


def test_a_users_scores_depend_on_this_user_only() -> None:
    candidates, gains = world(60, signal=4.0)
    ranker, _ = fit_ranker(candidates, gains, CONFIG, seed=5, threads=1)
    some = np.arange(10, 25, dtype=np.int32)
    assert_array_equal(ranker.score(candidates.rows_of(some)), ranker.score(candidates)[np.isin(candidates.row_users, some)])


def test_names_the_feature_that_moved_the_score() -> None:
    candidates, gains = world(150, signal=4.0)
    ranker, _ = fit_ranker(candidates, gains, CONFIG, seed=5, threads=1)
    best = np.argsort(-candidates.features["hidden"])[:5]
    assert all(names[0] == "hidden" for names in ranker.top_features(candidates, best))


def test_a_choice_must_beat_the_simple_one_by_more_than_a_standard_error() -> None:
    simple, trees = np.array([0.1, 0.2, 0.3, 0.4]), TreeChoice(40, 0.5)
    assert better({NO_TREES: simple, trees: simple + np.array([0.1, 0.2, 0.1, 0.2])}, NO_TREES) == trees
    assert better({NO_TREES: simple, trees: simple + np.array([0.4, -0.2, 0, 0])}, NO_TREES) == NO_TREES  # carried by one user


def test_corrections_find_what_the_retrievers_mean_hides() -> None:
    """Two retrievers, one of them pure noise: the equal mean is half noise, and a linear correction is all it takes."""
    rng = np.random.default_rng(2)
    n_users, n = 200, 200 * 20
    good, bad = rng.normal(size=n), 3 * rng.normal(size=n)
    gains = (rng.random(n) < 1 / (1 + np.exp(3 - 3 * good))).astype(np.float32)
    columns = {"z_a": good, "rank_a": np.ones(n), "z_b": bad, "rank_b": np.ones(n), "mean_z": (good + bad) / 2}
    candidates = made_candidates.candidates_by_hand(
        np.repeat(np.arange(n_users), 20).tolist(),
        np.tile(np.arange(20), n_users).tolist(),
        **columns,  # type: ignore[arg-type]
    )
    ranker, metrics = fit_ranker(candidates, gains, CONFIG, seed=5, threads=1)
    assert ranker.blend.shares or ranker.blend.corrections
    assert metrics["blend_ndcg"] > metrics["plain_ndcg"] + 0.1


def test_without_trees_the_blend_names_its_columns() -> None:
    candidates = made_candidates.candidates_by_hand(
        [1, 1], [1, 2], z_a=[2.0, 0.1], rank_a=[1, 2], z_b=[1.0, 3.0], rank_b=[2, 1], mean_z=[1.5, 1.5]
    )
    ranker = Ranker((), tuple(sorted(candidates.features)), 0, 0.0, Blend({"a": 1.0}, {"z_b": -0.5}))
    assert ranker.top_features(candidates, np.array([0, 1])) == [["z_a", "z_b"], ["z_b", "z_a"]]


def test_max_rows_samples_whole_users() -> None:
    candidates, gains = world(60, signal=4.0)
    _, metrics = fit_ranker(candidates, gains, replace(CONFIG, max_rows=200), seed=5, threads=1)
    assert metrics["n_rows"] == 200
    assert metrics["n_users"] == 10
