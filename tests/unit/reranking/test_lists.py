"""The lists of a small run, and the fallback that fills them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.reranking import published_lists
from hybridrec.reranking.inputs import ListInputs, load_inputs, read_items, write_inputs
from hybridrec.reranking.popular import Popularity, fallback_tiers, popular_items, popularity
from hybridrec.reranking.sentences import nearest_of_history, sentences
from hybridrec.reranking.similar import similar_items
from hybridrec.runs.run import Run
from hybridrec.tables import table
from tests.support import small_world
from tests.support.listed_run import NO_ROWS
from tests.support.small_world import N_ITEMS, N_USERS

CATALOGUE = small_world.items()


@pytest.fixture
def inputs(ranked_run: Run, tmp_path: Path) -> ListInputs:
    write_inputs(ranked_run, tmp_path)
    return load_inputs(ranked_run, tmp_path)


def make(inputs: ListInputs, ranked: pa.Table | None = None, users: list[int] | None = None) -> pd.DataFrame:
    all_users = inputs.run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")
    some = all_users.take(users) if users else all_users
    made = published_lists.make_lists(some, inputs.run.read("model_ranked") if ranked is None else ranked, inputs)
    return made.to_pandas().set_index("user_id")


def history(user: str) -> set[str]:
    events = small_world.events()
    return set(events[events.user_id == user].item_id)


def test_every_user_gets_k_unseen_available_different_items(inputs: ListInputs) -> None:
    made = make(inputs)
    assert len(made) == N_USERS
    for user, row in made.iterrows():
        assert len(row.item_ids) == len(set(row.item_ids)) == inputs.run.config.k
        assert not set(row.item_ids) & (history(str(user)) | {"i38"})
        assert (np.diff(row.scores) <= 0).all()
        assert len(row.reasons) == len(row.sources) == len(row.scores) == inputs.run.config.k
        assert row.shortfall is None
        assert all(row.reasons)


def test_a_user_without_ranked_rows_gets_the_fallback_and_is_told(inputs: ListInputs) -> None:
    made = make(inputs)
    for user in NO_ROWS:
        row = made.loc[f"u{user:02d}"]
        assert (row.reason, row.strategy) == ("fallback", "popularity")
        assert set(row.sources) <= {"popular_recent", "popular_all_time", "catalogue"}
        assert row.scores.max() <= 1
    assert made.loc["u58"].segment == "none"


def test_a_list_that_rules_cut_short_is_filled_and_says_so(inputs: ListInputs) -> None:
    ranked = inputs.run.read("model_ranked")
    few = ranked.filter(pa.compute.less_equal(ranked["rank"], 6))
    made = make(inputs, few)
    assert set(made.reason) == {"filled", "fallback"}
    row = made.loc["u10"]
    n_own = sum(not source.startswith("popular") for source in row.sources)
    assert 0 < n_own <= 6
    assert not any(source.startswith("popular") for source in row.sources[:n_own])
    assert row.strategy == "stacking"


def test_who_needs_no_filling_is_ranked(inputs: ListInputs) -> None:
    rng = np.random.default_rng(2)
    unseen = [i for i in range(N_ITEMS) if f"i{i:02d}" not in history("u03") and i != 38]
    rows = {"user_idx": [3] * len(unseen), "item_idx": rng.permutation(unseen), "score": np.arange(len(unseen), dtype=float)}
    rows |= {"rank": range(1, len(unseen) + 1), "strategy": ["s"] * len(unseen), "sources": [["als"]] * len(unseen)}
    row = make(inputs, pa.table(rows), [3]).loc["u03"]
    assert (row.reason, row.strategy, row.segment) == ("ranked", "s", "light")
    assert set(row.sources) == {"als"}


def test_no_eligible_item_is_ever_withheld(inputs: ListInputs) -> None:
    """k is the whole catalogue: each user gets all that is available and unseen, and the sentence why there is no more."""
    wide = replace(inputs, run=_with_k(inputs.run, N_ITEMS))
    for user, row in make(wide).iterrows():
        assert set(row.item_ids) == set(CATALOGUE.item_id) - history(str(user)) - {"i38"}
        assert row.shortfall.startswith(f"{len(row.item_ids)} of {N_ITEMS} places: the catalogue has no other available item")


def test_a_user_who_has_everything_gets_an_empty_list_with_its_reason(inputs: ListInputs) -> None:
    nothing = replace(inputs, items=inputs.items.assign(is_available=False))
    row = make(nothing, users=[4]).loc["u04"]
    assert list(row.item_ids) == []
    assert row.reason == "fallback"
    assert row.shortfall.startswith("0 of 10 places")


def test_an_extension_filter_binds_the_fallback_too(inputs: ListInputs) -> None:
    from hybridrec.reranking.rule_chain import Rule
    from hybridrec.rules import Kind

    even = Rule("even", Kind.FILTER, lambda ranked, context: ranked[ranked.item_idx % 2 == 0])
    made = make(replace(inputs, rules=(*inputs.rules, even)))
    assert all(int(item[1:]) % 2 == 0 for row in made.item_ids for item in row)


def test_blocks_of_any_cut_give_the_same_rows(inputs: ListInputs) -> None:
    users = inputs.run.read("model_users", columns=["user_idx", "user_id"])
    ranked = inputs.run.read("model_ranked").drop_columns(["top_features"])
    marks = users.append_column("item_idx", pa.nulls(len(users), pa.int32()))
    rows = pa.concat_tables([marks, ranked], promote_options="default").sort_by(
        [("user_idx", "ascending")]
    )  # nulls of item_idx come first within a user: the sort is stable
    whole = pa.Table.from_batches(published_lists.list_batches(iter(rows.combine_chunks().to_batches()), inputs.run, inputs.content))
    cut = pa.Table.from_batches(
        published_lists.list_batches(iter(rows.combine_chunks().to_batches(max_chunksize=37)), inputs.run, inputs.content)
    )
    assert whole.equals(cut)
    pd.testing.assert_frame_equal(whole.to_pandas().set_index("user_id"), make(inputs))


def test_all_lists_are_the_same_whatever_the_order_of_ranked_rows(inputs: ListInputs) -> None:
    ranked = inputs.run.read("model_ranked")
    shuffled = ranked.take(np.random.default_rng(0).permutation(len(ranked)))
    pd.testing.assert_frame_equal(make(inputs, shuffled), make(inputs))


def test_the_fallback_goes_from_recent_to_all_time_to_the_rest() -> None:
    counts = Popularity(recent=np.array([0, 3, 5, 0, 0, 3.0]), all_time=np.array([9, 4, 5, 2, 0, 8.0]))
    steps = fallback_tiers(counts, np.array([True, True, True, True, True, True]))
    assert steps.items.tolist() == [2, 5, 1, 0, 3, 4]
    assert steps.tiers.tolist() == [0, 0, 0, 1, 1, 2]
    assert (np.diff(steps.scores) < 0).all()
    assert fallback_tiers(counts, np.array([True, False, True, False, True, False])).items.tolist() == [2, 0, 4]


def test_popular_items_are_available_and_in_order(ranked_run: Run) -> None:
    items = read_items(ranked_run)
    made = popular_items(popularity(ranked_run.read("model_item_features", "full"), len(items)), items)
    frame = table("out_popular_items").conform(made).to_pandas()
    assert set(frame.window) == {"recent", "all_time"}
    for _, own in frame.groupby("window"):
        assert own["rank"].tolist() == list(range(1, N_ITEMS))
        assert (np.diff(own.score) <= 0).all()
        assert "i38" not in set(own.item_id)


def test_similar_items_are_other_available_ones_of_one_model(ranked_run: Run, tmp_path: Path) -> None:
    found = write_inputs(ranked_run, tmp_path)
    made = table("out_similar_items").conform(similar_items(found, read_items(ranked_run), 5)).to_pandas().set_index("item_id")
    assert len(made) == N_ITEMS
    assert made.reason["i00"] == "item_knn"
    assert made.reason["i39"] == "content", "an item without events has neighbours by content"
    for item, row in made.iterrows():
        assert item not in row.item_ids
        assert "i38" not in row.item_ids
        assert (np.diff(row.scores) <= 0).all()
    assert all(int(other[1:]) < small_world.GROUP for other in made.item_ids["i00"])


def test_without_a_trained_model_similar_items_come_from_content(small_run: Run, tmp_path: Path) -> None:
    found = write_inputs(small_run, tmp_path)
    assert set(found) == {"content"}
    assert set(similar_items(found, read_items(small_run), 5)["reason"].to_pylist()) == {"content"}


def test_the_age_of_an_item_counts_from_its_release(ranked_run: Run) -> None:
    items = read_items(ranked_run).set_index("item_id")
    assert items.item_age_days["i00"] == pytest.approx(100)
    assert items.item_age_days["i39"] == pytest.approx(100 + 390)


def test_a_reason_names_the_nearest_item_of_the_history(inputs: ListInputs) -> None:
    made = make(inputs)
    told = [reason for row in made.reasons for reason in row]
    assert any(reason.startswith("people who chose Space story number") for reason in told)
    assert any(reason.startswith("it resembles Love story number") and reason.endswith(": Romance and Drama") for reason in told)


def test_the_nearest_is_the_first_neighbour_that_the_user_has_had() -> None:
    from scipy.sparse import csr_array

    neighbours = np.array([[1, 2, 3], [0, 2, -1], [3, -1, -1], [-1, -1, -1]], dtype=np.int32)
    seen = csr_array(np.array([[0, 0, 1, 1], [1, 0, 0, 0]], dtype=np.float32))
    rows, items = np.array([0, 0, 1, 1, 1]), np.array([0, 3, 1, 2, 0], dtype=np.int32)
    assert nearest_of_history(neighbours, seen, rows, items).tolist() == [2, -1, 0, -1, -1]


def test_reasons_of_sources_that_are_not_about_history() -> None:
    from scipy.sparse import csr_array

    seen = csr_array(np.array([[1, 0]], dtype=np.float32))
    catalogue = pd.DataFrame({"item_id": ["a", "b"], "title": [None, "B"], "categories": [[], []]})
    near = {"item_knn": np.array([[1], [0]], dtype=np.int32), "content": np.array([[1], [0]], dtype=np.int32)}
    told = sentences(
        ["popularity", "gone_model", "item_knn", "content_text"], np.zeros(4, np.int64), np.ones(4, np.int32), seen, catalogue, near
    )
    assert told == ["many people chose it", "it fits your history", "people who chose a also chose it", "its description is like that of a"]


def _with_k(run: Run, k: int) -> Run:
    return Run(replace(run.manifest, config=replace(run.manifest.config, k=k)), run.settings)
