"""Each leak alarm is silent on honest data, and goes off when the leak is put in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.base.errors import Leak
from hybridrec.candidates import candidate_blocks, candidate_set
from hybridrec.candidates.candidate_set import CandidateSet, build_candidates, feature_files, load_candidates, load_items
from hybridrec.dataset.catalogue import candidate_items
from hybridrec.evaluation import leaked_labels, leaks
from hybridrec.execution import job
from hybridrec.metrics.labels import labels_of, load_labels
from hybridrec.metrics.metrics import Labels, row_gains
from hybridrec.ranking.ranker_fit import Config
from hybridrec.runs.run import Run
from hybridrec.training import fits as training
from jobs import check_leaks, train_model
from tests.support import made_candidates, small_world

PLANTED = small_world.N_ITEMS
CONFIG = Config(rounds=20, bags=1, min_rows_in_leaf=10, k=10)
MODELS = ("item_knn", "popularity", "pure_svd")  # the last one has factors too
SPLITS = ("ranker", "holdout")


@pytest.fixture(scope="module")
def honest_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a home with a run over the small world: real fits on all splits, and candidates of their scores."""
    home = tmp_path_factory.mktemp("honest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDREC_HOME", str(home))
        run = small_world.make_run("honest", models=MODELS)
        for split in run.splits:
            for model in MODELS:
                train_model.main(train_model.Params(run.run_id, model, split))
        for split in SPLITS:  # type: ignore[assignment]
            write_candidates(run, split, fits=split)
    return home


@pytest.fixture
def night(honest_home: Path, home: Path) -> Run:
    """Provide a copy of that run, to plant a leak in."""
    shutil.copytree(honest_home, home, dirs_exist_ok=True)
    return Run.open("honest")


def write_candidates(run: Run, split: str, fits: str) -> None:
    """Commit the candidates of a split's labelled users and their histories, scored by the fits of some split."""
    users = training.user_block(run, split, load_labels(run, split).users)
    models = {name: training.load_fit(name, run.artefact(f"models/{name}", fits)) for name in MODELS}
    rows = candidate_blocks.candidate_block(models, users, candidate_items(run, split), 12, 40)
    run.write("model_candidates", pa.Table.from_batches([rows]), split)


def change(run: Run, name: str, split: str, how: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Replace a table of the run by a changed one."""
    rows = how(run.read(name, split).to_pandas())
    run.write(name, pa.Table.from_pandas(rows, preserve_index=False), split)


def gains_of(run: Run, split: str, rows: pd.DataFrame) -> pd.Series:
    """Return the label's gain of each pair of rows, 0 for none."""
    labels = run.read("model_labels", split).to_pandas().set_index(["user_idx", "item_idx"]).gain
    return rows[["user_idx", "item_idx"]].apply(tuple, axis=1).map(labels).fillna(0.0)


def exit_code(run: Run) -> int:
    """Return the exit code of the job check_leaks."""
    with pytest.raises(SystemExit) as ended:
        job.start(check_leaks.main, check_leaks.Params, ["--run-id", run.run_id])
    return int(ended.value.code or 0)


def test_an_honest_night_passes_and_says_what_was_looked_at(night: Run) -> None:
    assert exit_code(night) == 0
    found = json.loads((night.artefact(leaks.FINDINGS) / leaks.FINDINGS_FILE).read_text())
    assert [finding["alarm"] for finding in found] == [
        *["features", "items of the future", "fits", "scores", "single columns"] * 2,
        "shuffled labels",
    ]
    assert "those of 20 users and 40 items are the same without later events" in found[0]["detail"] or "39 items" in found[0]["detail"]
    assert leaks.check_night(night) == leaks.check_night(night)


def test_a_leak_is_permanent_and_said_in_a_sentence(night: Run, capsys: pytest.CaptureFixture[str]) -> None:
    change(night, "model_item_features", "holdout", lambda rows: rows.assign(item_n_events_7d=rows.item_n_events_7d + 1))
    assert exit_code(night) == 3
    assert (
        "PermanentError in check_leaks: split holdout: model_item_features item_n_events_7d knows what came after the cut"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("split", "column"),
    [
        ("ranker", "item_n_users"),
        *(("holdout", name) for name in ("item_n_events_30d", "item_age_days", "item_recency_days", "item_weekend_share")),
    ],
)
def test_a_feature_of_another_split_is_named(night: Run, split: str, column: str) -> None:
    of_final = night.read("model_item_features", "full").to_pandas().set_index("item_idx")[column]
    change(night, "model_item_features", split, lambda rows: rows.assign(**{column: rows.item_idx.map(of_final)}))
    with pytest.raises(
        Leak, match=rf"split {split}: model_item_features {column} knows what came after the cut: without later events {column} of item_idx"
    ):
        leaks.check_night(night)


def test_a_user_feature_that_counts_labels_is_named(night: Run) -> None:
    n_labels = night.read("model_labels", "ranker").to_pandas().groupby("user_idx").size()
    change(
        night,
        "model_user_features",
        "ranker",
        lambda rows: rows.assign(user_n_events=rows.user_n_events + rows.user_idx.map(n_labels).fillna(0).astype(int)),
    )
    with pytest.raises(Leak, match="model_user_features user_n_events knows what came after the cut"):
        leaks.check_night(night)


def test_a_candidate_set_that_reads_another_splits_features_is_found(night: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_set, "feature_files", lambda run, split: feature_files(run, "full"))
    with pytest.raises(Leak, match=r"split ranker: the candidates' user_\w+.* knows what came after the cut"):
        leaks.check_night(night)


def test_labels_of_the_other_split_are_found(night: Run) -> None:
    of_eval = night.read("model_labels", "holdout").to_pandas()
    change(night, "model_labels", "ranker", lambda rows: pd.concat([rows, of_eval]))
    with pytest.raises(Leak, match=r"split ranker: 232 of 403 model_labels are not in the history of split holdout"):
        leaks.check_night(night)


def test_labels_in_the_history_are_found(night: Run) -> None:
    night.write("model_interactions", night.read("model_interactions", "full"), "holdout")
    with pytest.raises(Leak, match=r"split holdout: 232 pairs .* 232 are labels"):
        leaks.check_night(night)


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("split", SPLITS)
def test_scores_that_know_the_labels_are_found(night: Run, split: str, noise: float) -> None:
    draws = np.random.default_rng(1)
    change(
        night,
        "model_candidates",
        split,
        lambda rows: rows.assign(score_item_knn=(gains_of(night, split, rows) + noise * draws.normal(size=len(rows))).astype(np.float32)),
    )
    with pytest.raises(Leak, match=rf"split {split}: score_item_knn in model_candidates is not what this split's fit gives"):
        leaks.check_night(night)


def test_ranks_that_know_the_labels_are_found(night: Run) -> None:
    def lift(rows: pd.DataFrame) -> pd.DataFrame:
        hits = gains_of(night, "holdout", rows) > 0
        return rows.assign(rank_popularity=np.where(hits, 1.0, rows.rank_popularity + 1).astype(np.float32))

    change(night, "model_candidates", "holdout", lift)
    with pytest.raises(Leak, match="rank_popularity in model_candidates does not follow this model's scores"):
        leaks.check_night(night)


def test_columns_without_a_fit_are_found(night: Run) -> None:
    change(night, "model_candidates", "ranker", lambda rows: rows.assign(score_oracle=gains_of(night, "ranker", rows).astype(np.float32)))
    with pytest.raises(
        Leak, match="split ranker: no fit of this split can have made score_oracle in model_candidates; expected columns of item_knn"
    ):
        leaks.check_night(night)


def test_nearness_that_knows_the_labels_is_found(night: Run) -> None:
    """As if the last items of a history were those that the user went on to."""
    change(
        night, "model_candidates", "holdout", lambda rows: rows.assign(last1_item_knn=gains_of(night, "holdout", rows).astype(np.float32))
    )
    with pytest.raises(Leak, match="split holdout: last1_item_knn in model_candidates is not what this split's fit gives"):
        leaks.check_night(night)


def test_factors_of_another_split_are_found(night: Run) -> None:
    of_final = night.artefact("models/pure_svd", "full")
    users = training.user_block(night, "holdout", load_labels(night, "holdout").users)
    model = training.load_fit("pure_svd", of_final)

    def swap(rows: pd.DataFrame) -> pd.DataFrame:
        at = np.searchsorted(users.user_idx, rows.user_idx).astype(np.int32)
        return rows.assign(factor_pure_svd_0=model.pair_factors(users, at, rows.item_idx.to_numpy(np.int32))[:, 0])  # type: ignore[attr-defined]

    change(night, "model_candidates", "holdout", swap)
    with pytest.raises(Leak, match="factor_pure_svd_0 in model_candidates is not what this split's fit gives"):
        leaks.check_night(night)


def test_a_candidate_set_scored_by_the_fits_of_everything_is_found(night: Run) -> None:
    write_candidates(night, "holdout", fits="full")
    with pytest.raises(
        Leak, match=r"split holdout: score_\w+ in model_candidates is not what this split's fit gives for \d+ of 30 sampled users"
    ):
        leaks.check_night(night)


def test_a_fit_that_learned_from_everything_is_found(night: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = training.training_data
    monkeypatch.setattr(
        training, "training_data", lambda run, split, model: replace(honest(run, "full", model), seed=honest(run, split, model).seed)
    )
    train_model.main(train_model.Params(night.run_id, "item_knn", "holdout"))
    write_candidates(night, "holdout", fits="holdout")
    with pytest.raises(Leak, match=r"split holdout: item_knn \(\d+ pairs, seed \d+\) did not learn from this split's \d+ pairs"):
        leaks.check_night(night)


def test_a_fit_of_another_split_is_found(night: Run) -> None:
    other = night.artefact("models/item_knn", "full")
    with night.staged("models/item_knn", "holdout") as folder:
        shutil.copytree(other, folder, dirs_exist_ok=True)
    write_candidates(night, "holdout", fits="holdout")
    with pytest.raises(Leak, match=r"split holdout: item_knn \(\d+ pairs, seed \d+\) did not learn from this split's \d+ pairs"):
        leaks.check_night(night)


def test_a_column_that_is_the_label_is_found_wherever_it_comes_from(night: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate set's own column, which no table holds, so nothing can be computed a second time."""

    def with_gains(run: Run, split: str, users: np.ndarray | None = None) -> CandidateSet:
        candidates = load_candidates(run, split, users)
        candidates.features["affinity_pair"] = row_gains(candidates, load_labels(night, split))
        return candidates

    monkeypatch.setattr(leaked_labels, "load_candidates", with_gains)
    with pytest.raises(
        Leak,
        match=r"split ranker: affinity_pair of the candidates puts the labels of \d+ users before their other candidates in 100.0% of",
    ):
        leaks.check_night(night)


@pytest.fixture
def planted_run(home: object, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Provide the small world with one item more, which nothing describes and which every user chooses just after the holdout cut."""
    events, items = small_world.events(), small_world.items()
    planted = f"i{PLANTED:02d}"
    rush = pd.DataFrame({"user_id": sorted(events.user_id.unique()), "item_id": planted, "event_type": "purchase"})
    rush["event_at"] = small_world.CUTS["holdout"] + pd.Timedelta(hours=1)
    blank = items.iloc[-1:].assign(item_id=planted, title=None, description=None, brand=None)
    blank["released_at"] = pd.Series([pd.NaT], blank.index, items.released_at.dtype)
    blank.at[blank.index[0], "categories"] = []  # type: ignore[assignment]
    monkeypatch.setattr(small_world, "events", lambda: pd.concat([events, rush], ignore_index=True))
    monkeypatch.setattr(small_world, "items", lambda: pd.concat([items, blank], ignore_index=True))
    return small_world.make_run()


@pytest.mark.parametrize("learn_from", ["holdout", "full"])
def test_an_item_of_the_future_surfaces_only_where_models_see_past_the_cut(planted_run: Run, learn_from: str) -> None:
    rows = made_candidates.candidates(planted_run, "holdout", learn_from=learn_from)
    planted_run.write("model_candidates", pa.Table.from_pandas(rows, preserve_index=False), "holdout")
    if learn_from == "holdout":
        assert "1 items came later and none" in leaks.require_known_candidates(planted_run, "holdout").detail
        return
    with pytest.raises(
        Leak, match=r"split holdout: item_knn \(\d+ times\), popularity \(58 times\) shows items unknown before the cut 2026-03-22"
    ):
        leaks.require_known_candidates(planted_run, "holdout")


def candidates_from(run: Run, labels: Labels, leaky: bool) -> CandidateSet:
    """Return the ranker split's candidates; the leaky way joins the pair's weight from a table that reaches into the label window."""
    rows = made_candidates.candidates(run, "ranker")
    files = feature_files(run, "ranker")
    candidates = build_candidates(pa.Table.from_pandas(rows, preserve_index=False), files, load_items(files))
    if leaky:
        candidates.features["affinity_pair"] = row_gains(candidates, labels)
    return candidates


def test_shuffled_labels_cannot_be_learnt(small_run: Run) -> None:
    labels = load_labels(small_run, "ranker")
    for seed in range(12):
        found = leaked_labels.require_unlearnable(lambda labels: candidates_from(small_run, labels, leaky=False), labels, CONFIG, 10, seed)
        assert found.score < found.limit and found.n_users > 25


def test_shuffled_labels_are_learnt_through_a_feature_that_saw_them(small_run: Run) -> None:
    with pytest.raises(Leak, match=r"labels drawn at random were learnt.*above chance.*most of all affinity_pair"):
        leaked_labels.require_unlearnable(
            lambda labels: candidates_from(small_run, labels, leaky=True), load_labels(small_run, "ranker"), CONFIG, 10, seed=3
        )


def test_too_few_users_are_not_tried(small_run: Run) -> None:
    labels = labels_of(load_labels(small_run, "ranker"), np.arange(40, dtype=np.int32))
    found = leaked_labels.require_unlearnable(lambda labels: candidates_from(small_run, labels, leaky=True), labels, CONFIG, 10, seed=1)
    assert 0 < found.n_users <= 20 and found.score == 0


def test_a_candidate_set_that_reads_the_labels_lets_shuffled_ones_be_learnt(night: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The column follows the labels of whatever run it is given, with noise enough to look like an honest one."""

    def with_noisy_gains(run: Run, split: str, users: np.ndarray | None = None) -> CandidateSet:
        candidates = load_candidates(run, split, users)
        noise = np.random.default_rng(5).normal(size=len(candidates.items)).astype(np.float32)
        candidates.features["affinity_pair"] = row_gains(candidates, load_labels(run, split)) + 0.4 * noise
        return candidates

    monkeypatch.setattr(leaked_labels, "load_candidates", with_noisy_gains)
    with pytest.raises(Leak, match=r"labels drawn at random were learnt.*most of all affinity_pair"):
        leaked_labels.require_unlearnable_night(night)


def test_shuffling_keeps_each_users_number_of_labels(small_run: Run) -> None:
    labels = load_labels(small_run, "ranker")
    candidates = candidates_from(small_run, labels, leaky=False)
    before = row_gains(candidates, labels)
    after = row_gains(candidates, leaked_labels.shuffle_labels(candidates, labels, np.random.default_rng(1)))
    np.testing.assert_array_equal(np.add.reduceat(before, candidates.starts[:-1]), np.add.reduceat(after, candidates.starts[:-1]))
    assert (before != after).any()


def test_chance_is_bounded_whatever_the_differences_look_like() -> None:
    """Fewer than 1 in 1,000 of 20,000 normal nights with few users and rare, large differences pass a bound of 1 in 100."""
    generator = np.random.default_rng(2)
    beyond = 0
    for _ in range(20_000):
        differences = generator.choice([-1.0, 0.0, 1.0], size=30, p=[0.05, 0.9, 0.05]) * generator.random(30) ** 3
        found = leaked_labels.above_chance(differences, false_alarm=0.01)
        beyond += found.score > found.limit
    assert beyond <= 200
    certain = leaked_labels.above_chance(np.full(40, 0.3))
    assert certain.score == pytest.approx(np.sqrt(40)) and certain.score > certain.limit == pytest.approx(5.2565, abs=1e-4)
    assert leaked_labels.above_chance(np.zeros(40)).score == 0


def test_quality_of_a_column_by_hand() -> None:
    candidates = made_candidates.candidates_by_hand(
        [1, 1, 1, 2, 2, 3], [1, 2, 3, 1, 2, 1], good=[3, 1, 2, 0, 0, 1], bad=[1, np.nan, 2, 5, 9, 1]
    )
    hits = np.array([True, False, False, True, False, True])
    np.testing.assert_allclose(leaked_labels.column_quality(candidates, candidates.features["good"], hits), [1.0, 0.5])
    np.testing.assert_allclose(leaked_labels.column_quality(candidates, candidates.features["bad"], hits), [0.5, 0.0])


@pytest.mark.parametrize("split", SPLITS)
def test_honest_splits_are_past(small_run: Run, split: str) -> None:
    leaks.require_past(small_run, split)


def test_interactions_beyond_the_cut_stop_the_night(small_run: Run) -> None:
    small_run.write("model_interactions", small_run.read("model_interactions", "full"), "holdout")
    with pytest.raises(Leak, match=r"split holdout: 232 pairs .* at or after the cut 2026-03-22 00:00, 232 are labels"):
        leaks.require_past(small_run, "holdout")


def test_features_of_unknown_items_stop_the_night(small_run: Run) -> None:
    rows = small_run.read("model_item_features", "holdout").to_pandas()
    extra = rows.iloc[:1].assign(item_idx=39)
    table = pa.Table.from_pandas(pd.concat([rows, extra]), preserve_index=False)
    small_run.write("model_item_features", table, "holdout")
    with pytest.raises(Leak, match="1 items of model_item_features have no event"):
        leaks.require_past(small_run, "holdout")
