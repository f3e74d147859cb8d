"""Places filled by chance: after all rules, by known probabilities, the same in every rerun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.assignment.buckets import in_layer
from hybridrec.assignment.variants import Variant
from hybridrec.base.errors import PermanentError
from hybridrec.base.trying import Bandit, Exploration
from hybridrec.exploration.draws import load_draws, write_draws
from hybridrec.reranking import published_lists
from hybridrec.reranking.inputs import ListInputs, load_inputs, write_inputs
from hybridrec.reranking.slots import Explored, Slots, explore, require_support
from hybridrec.reranking.tried import COLUMNS
from hybridrec.reranking.variant_lists import variant_inputs
from hybridrec.runs.run import Run
from hybridrec.tables import table
from tests.support import small_world
from tests.support.listed_run import NO_ROWS

SLOTS = Slots((1, 3), ("salt", "run"))
K = 5


def rows(n_users: int, n_rows: int) -> pd.DataFrame:
    """Return rows of users, best first; the item's number is its rank."""
    users = np.repeat(np.arange(n_users, dtype=np.int32), n_rows)
    items = np.tile(np.arange(n_rows, dtype=np.int32), n_users)
    return pd.DataFrame({"user_idx": users, "item_idx": items, "score": 1.0 - items / 100})


def ids_of(kept: pd.DataFrame) -> np.ndarray:
    return np.array([f"user {user}" for user in kept["user_idx"]], dtype=object)


def test_every_row_that_no_merit_places_is_drawn_alike() -> None:
    kept = rows(30_000, 12)
    found = explore(kept, ids_of(kept), K, SLOTS)
    lists = found.rows["item_idx"].to_numpy().reshape(-1, 12)
    assert (lists[:, [0, 2, 4]] == [0, 1, 2]).all(), "the others stand by merit"
    for place in SLOTS.positions:
        shares = np.bincount(lists[:, place], minlength=12) / len(lists)
        np.testing.assert_allclose(shares, [0] * 3 + [1 / 9] * 9, atol=0.008)
    assert (lists[:, 1] != lists[:, 3]).all()
    probabilities = found.probabilities.reshape(-1, 12)
    np.testing.assert_allclose(probabilities[:, [1, 3]], 1 / 9)
    assert (np.delete(probabilities, [1, 3], axis=1) == 1).all()
    assert (np.sort(lists, axis=1) == np.arange(12)).all(), "nothing is lost"
    pairs = np.bincount(lists[:, 1] * 12 + lists[:, 3], minlength=144).reshape(12, 12)[3:, 3:] / len(lists)
    np.testing.assert_allclose(pairs[~np.eye(9, dtype=bool)], 1 / 72, atol=0.004)


def test_scores_still_fall() -> None:
    kept = rows(50, 12)
    found = explore(kept, ids_of(kept), K, SLOTS).rows
    scores = found["score"].to_numpy().reshape(-1, 12)[:, :K]
    assert (np.diff(scores, axis=1) <= 0).all()
    first = explore(kept, ids_of(kept), K, Slots((0,), ("salt", "run"))).rows["score"].to_numpy().reshape(-1, 12)
    assert (first[:, 0] == 1.0).all()


def test_a_rerun_draws_the_same_and_another_run_another() -> None:
    kept = rows(200, 40)
    found = explore(kept, ids_of(kept), K, SLOTS)
    again = explore(kept, ids_of(kept), K, SLOTS)
    pd.testing.assert_frame_equal(found.rows, again.rows)
    part = kept[kept.user_idx.between(50, 99)].reset_index(drop=True)
    alone = explore(part, ids_of(part), K, SLOTS).rows
    pd.testing.assert_frame_equal(alone, found.rows[found.rows.user_idx.between(50, 99)].reset_index(drop=True))
    other = explore(kept, ids_of(kept), K, Slots(SLOTS.positions, ("salt", "next run")))
    assert (other.rows["item_idx"] != found.rows["item_idx"]).mean() > 0.01


@pytest.mark.parametrize(("n_rows", "drawn"), [(3, False), (5, False), (6, True)])
def test_where_all_rows_are_shown_anyway_the_list_stays(n_rows: int, drawn: bool) -> None:
    kept = rows(40, n_rows)
    found = explore(kept, ids_of(kept), K, SLOTS)
    assert (found.probabilities < 1).any() == drawn
    if not drawn:
        pd.testing.assert_frame_equal(found.rows, kept)


def test_a_probability_from_before_the_filters_is_an_alarm() -> None:
    """The planted fault: 1 / the number of ranked rows, of which the rules have removed some."""
    own = rows(20, 12)
    kept = own[own["item_idx"] % 3 != 1].reset_index(drop=True)
    right = explore(kept, ids_of(kept), K, SLOTS)
    require_support(kept, right, K, SLOTS)
    too_small = Explored(right.rows, np.where(right.probabilities < 1, np.float32(1 / 9), right.probabilities).astype(np.float32))
    with pytest.raises(PermanentError, match=r"has the probability 0\.1111, but the rules have left 5 rows to draw from"):
        require_support(kept, too_small, K, SLOTS)
    with pytest.raises(PermanentError, match="draw after filters and caps"):
        require_support(kept, explore(own, ids_of(own), K, SLOTS), K, SLOTS)


def with_options(run: Run, **groups: object) -> Run:
    return Run(replace(run.manifest, config=replace(run.config, **groups)), run.settings)  # type: ignore[arg-type]


def lists_of(run: Run, folder: Path) -> pd.DataFrame:
    users = run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")
    return published_lists.make_lists(users, run.read("model_ranked"), load_inputs(run, folder)).to_pandas().set_index("user_id")


@pytest.fixture
def inputs_folder(ranked_run: Run, tmp_path: Path) -> Path:
    write_inputs(ranked_run, tmp_path)
    return tmp_path


def test_lists_without_these_groups_have_null_columns(ranked_run: Run, inputs_folder: Path) -> None:
    made = lists_of(ranked_run, inputs_folder)
    assert made[list(COLUMNS)].isna().all().all()
    same = ["item_ids", "scores", "reasons", "sources", "reason", "strategy", "segment", "shortfall"]
    never = with_options(ranked_run, exploration=Exploration(positions=[150]))
    pd.testing.assert_frame_equal(lists_of(never, inputs_folder)[same], made[same])


def test_published_places_and_their_probabilities(ranked_run: Run, inputs_folder: Path) -> None:
    exploring = with_options(replace_k(ranked_run, 5), exploration=Exploration(positions=[2, 5]))
    plain = lists_of(replace_k(ranked_run, 5), inputs_folder)
    made = lists_of(exploring, inputs_folder)
    explored = made[made.slot_probabilities.notna()]
    assert len(explored) > 30
    assert set(made.index[made.slot_probabilities.isna()]) >= {f"u{user:02d}" for user in NO_ROWS}
    for user, row in explored.iterrows():
        assert len(row.slot_probabilities) == len(row.item_ids) == len(set(row.item_ids)) == 5
        assert [one == 1 for one in row.slot_probabilities] == [True, False, True, True, False]
        assert 1 / row.slot_probabilities[1] == pytest.approx(round(1 / row.slot_probabilities[1]), rel=1e-5)
        assert [row.item_ids[place] for place in (0, 2, 3)] == list(plain.loc[str(user)].item_ids[:3])
        assert (np.diff(row.scores) <= 0).all()
        assert "i38" not in row.item_ids, "it is out of stock"
        events = small_world.events()
        assert not set(row.item_ids) & set(events[events.user_id == user].item_id)
    pd.testing.assert_frame_equal(made, lists_of(exploring, inputs_folder))


def test_a_variants_shorter_list_has_no_place_beyond_its_end(ranked_run: Run, inputs_folder: Path) -> None:
    exploring = load_inputs(with_options(replace_k(ranked_run, 5), exploration=Exploration(positions=[2, 5])), inputs_folder)
    three = variant_inputs(exploring, Variant("shorter", 0.5, k=3))
    assert (three.k, three.slots and three.slots.positions) == (3, (1,))
    assert variant_inputs(exploring, Variant("shortest", 0.5, k=1)).slots is None
    assert variant_inputs(exploring, Variant("other rules", 0.5, without_rules=("mmr",))).slots == exploring.slots


def replace_k(run: Run, k: int) -> Run:
    """Return the run with shorter lists, and without a cap of categories, which would leave no rows besides."""
    return with_options(run, k=k, extension_options={"rules": {"category_cap": {"max_share": 3.0}}})


def test_a_fault_in_the_draw_stops_the_night(ranked_run: Run, inputs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def before_the_filters(kept: pd.DataFrame, user_ids: np.ndarray, k: int, slots: Slots) -> Explored:
        found = explore(kept, user_ids, k, slots)
        return Explored(found.rows, np.where(found.probabilities < 1, np.float32(1 / 200), found.probabilities).astype(np.float32))

    monkeypatch.setattr(published_lists, "explore", before_the_filters)
    with pytest.raises(PermanentError, match="exploration: item"):
        lists_of(with_options(replace_k(ranked_run, 5), exploration=Exploration(positions=[2])), inputs_folder)


def test_rows_say_which_arm_ranked_them(ranked_run: Run, inputs_folder: Path) -> None:
    arms = {"a": "als=1", "b": "item_knn=1", "c": "popularity=1"}
    run = with_options(ranked_run, bandit=Bandit(arms=arms, share=0.7))
    write_draws(run, ["als", "item_knn", "popularity"], [])
    draws, made = load_draws(run), lists_of(run, inputs_folder)
    assert draws is not None
    for user, row in enumerate(made.itertuples()):
        if user in NO_ROWS or draws.of_user[user] < 0:
            assert row.arm is None and np.isnan(row.arm_probability)
        else:
            assert row.arm == f"{row.segment}:{draws.arms[draws.of_user[user]].name}"
            assert row.arm_probability == pytest.approx(1 / 3)
    in_bandits_layer = in_layer("bandit", made.index)
    assert not made.arm.notna()[~in_bandits_layer].any()
    assert 0 < made.arm.notna().sum() < in_bandits_layer.sum(), "a share of the layer"


def test_the_columns_have_their_types(ranked_run: Run, inputs_folder: Path) -> None:
    users = ranked_run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")
    inputs: ListInputs = load_inputs(with_options(replace_k(ranked_run, 5), exploration=Exploration(positions=[2])), inputs_folder)
    made = published_lists.make_lists(users, ranked_run.read("model_ranked"), inputs)
    assert made.schema == table("out_recommendations").arrow_schema()
    assert made.schema.field("slot_probabilities").type == pa.list_(pa.float32())
