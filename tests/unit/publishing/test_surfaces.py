"""Surfaces: lists of their own length, filters and rules from the night's ranked rows, and the checks that see a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.surfaces import ANYBODY, DEFAULT_SURFACE, Surface
from hybridrec.publishing import output_checks
from hybridrec.publishing.publish import published_tables
from hybridrec.reranking.inputs import write_inputs
from hybridrec.reranking.published_lists import inputs_of, list_of_anybody, make_lists, on_surface
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import NoSurface, open_target, recommend
from hybridrec.versions.publications import Target
from tests.support import small_world
from tests.support.published_rows import publication

SURFACES = {
    "cart": Surface(k=4, not_categories=["Romance"], without_rules=["category_cap", "mmr", "new_item_boost"]),
    "email": Surface(k=3, only_categories=["Romance"], rules={"category_cap": {"max_share": 1.0}}),
    "reminder": Surface(k=5, history="again"),
}
CATEGORIES = {item: set(names) for item, names in small_world.items()[["item_id", "categories"]].itertuples(index=False)}


def with_surfaces(run: Run, surfaces: dict[str, Surface], **options: object) -> Run:
    config = replace(run.config, surfaces=surfaces, **options)  # type: ignore[arg-type]
    return Run(replace(run.manifest, config=config), run.settings)


def lists_of(run: Run, folder: Path, surface: str) -> pa.Table:
    inputs = inputs_of(run, folder, surface)
    users = run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")
    made = make_lists(users, run.read("model_ranked"), inputs)
    return pa.concat_tables([list_of_anybody(inputs, surface), on_surface(made, surface)])


@pytest.fixture
def run(listed: Run, tmp_path: Path) -> Run:
    """Provide the small world's run with lists of three surfaces."""
    run = with_surfaces(listed, SURFACES)
    write_inputs(run, tmp_path)
    run.write("out_surface_lists", pa.concat_tables([lists_of(run, tmp_path, name) for name in SURFACES]))
    return run


@pytest.fixture
def target(run: Run) -> Iterator[Target]:
    found = open_target(run.settings)
    yield found
    found.close()


def of(run: Run, surface: str) -> pd.DataFrame:
    rows: pd.DataFrame = run.read("out_surface_lists").to_pandas()
    return rows[rows.surface == surface].set_index("user_id")


def items_of(rows: pd.DataFrame, user: str) -> list[str]:
    """Return the list of one user; rows: as `of` returns them."""
    return dict(zip(rows.index, rows.item_ids.map(list), strict=True))[user]


def history() -> dict[str, set[str]]:
    return {str(user): set(rows.item_id) for user, rows in small_world.events().groupby("user_id")}


def test_each_surface_has_its_own_length_and_categories(run: Run) -> None:
    users = {ANYBODY, *small_world.users().user_id}
    cart, email = of(run, "cart"), of(run, "email")
    assert set(cart.index) == set(email.index) == users
    assert {len(items) for items in cart.item_ids} == {4}
    assert {len(items) for items in email.item_ids} == {3}
    assert not any("Romance" in CATEGORIES[item] for items in cart.item_ids for item in items)
    assert all("Romance" in CATEGORIES[item] for items in email.item_ids for item in items)
    assert cart.loc[ANYBODY, "reason"] == "fallback"
    assert not items_of(of(run, "reminder"), ANYBODY)


def test_a_surface_without_rules_shows_the_best_ranked_items_that_it_allows(run: Run) -> None:
    ranked = run.read("model_ranked").to_pandas().sort_values(["user_idx", "rank"])
    cart, had = of(run, "cart"), history()
    items = small_world.items().item_id.to_numpy()
    for user in (3, 20, 41):
        name = f"u{user:02d}"
        mine = [items[item] for item in ranked[ranked.user_idx == user].item_idx]
        allowed = [item for item in mine if "Romance" not in CATEGORIES[item] and item not in had[name] and item != "i38"]
        assert allowed and items_of(cart, name)[: len(allowed)] == allowed[:4]


def test_purposes_of_history_split_the_same_rows(listed: Run, tmp_path: Path) -> None:
    """If nothing counts as had, one surface shows what is new to the user and the other what is not."""
    nothing_had = pa.table({"user_idx": pa.array([0], pa.int32()), "item_idx": pa.array([0], pa.int32())})
    listed.write("model_had", nothing_had, "full")
    run = with_surfaces(listed, {"new": Surface(k=6, history="new"), "again": Surface(k=6, history="again")})
    write_inputs(run, tmp_path)
    had = history()
    new, again = (lists_of(run, tmp_path, name).to_pandas().set_index("user_id") for name in ("new", "again"))
    assert not [user for user, items in new.item_ids.items() if set(items) & had.get(str(user), set())]
    assert not [user for user, items in again.item_ids.items() if set(items) - had.get(str(user), set())]
    assert sum(map(len, again.item_ids)) > 50
    short = again[again.item_ids.map(len) < 6]
    assert set(short.shortfall) == {
        f"{n} of 6 places: the surface again allows no other available item for this user" for n in set(short.item_ids.map(len))
    }


def test_the_nights_own_list_is_as_without_surfaces(run: Run, listed: Run, tmp_path: Path) -> None:
    users = run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")
    again = make_lists(users, run.read("model_ranked"), inputs_of(run, tmp_path, DEFAULT_SURFACE))
    assert again.equals(listed.read("out_recommendations"))


def change(run: Run, how: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    rows = how(run.read("out_surface_lists").to_pandas())
    run.write("out_surface_lists", pa.Table.from_pandas(rows, preserve_index=False))


def item_in_place(user: str, surface: str, item: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def how(rows: pd.DataFrame) -> pd.DataFrame:
        mine = (rows.user_id == user) & (rows.surface == surface)
        changed = [[item, *items[1:]] if here else items for here, items in zip(mine, rows.item_ids, strict=True)]
        return rows.assign(item_ids=pd.Series(changed, rows.index))

    return how


@pytest.mark.parametrize(
    ("surface", "how", "message"),
    [
        ("email", item_in_place("u20", "email", "i00"), "positions with an item that the surface does not allow"),
        ("cart", item_in_place("u20", "cart", "i38"), "positions with an item that is not available"),
        ("reminder", lambda rows: rows[(rows.surface != "reminder") | (rows.user_id != "u07")], "1 users of the run without a row"),
        ("email", lambda rows: rows[(rows.surface != "email") | (rows.user_id != "")], "1 rows missing or too many for unknown users"),
        ("cart", item_in_place("u20", "cart", "nothing"), "1 positions with an item that the run does not know"),
    ],
)
def test_a_wrong_list_of_a_surface_is_never_published(
    run: Run, target: Target, surface: str, how: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    good = output_checks.check_output(run, target, None)
    assert {c["name"]: c["value"] for c in good["checks"] if c["name"].startswith("surface_")} == {  # type: ignore[attr-defined]
        f"surface_{name}": 0 for name in SURFACES
    }
    change(run, how)
    verdict = output_checks.check_output(run, target, "I do not mind")
    assert [c["name"] for c in verdict["checks"] if not c["passed"]] == [f"surface_{surface}"]  # type: ignore[attr-defined]
    with pytest.raises(PermanentError, match=f"the tables besides the lists: surface_{surface} is .*{message}.* cannot be overridden"):
        output_checks.require_passed(verdict)


def test_lists_of_a_surface_are_looked_up(run: Run, target: Target) -> None:
    rows = of(run, "email")
    publish(run, target)
    answer = recommend(target, "u20", 20, surface="email")
    assert [entry.item_id for entry in answer.entries] == items_of(rows, "u20")
    assert (answer.user_id, answer.reason) == ("u20", rows.loc["u20", "reason"])
    left = recommend(target, "u20", 20, frozenset([answer.entries[0].item_id]), "email")
    assert [e.item_id for e in left.entries[:2]] == [e.item_id for e in answer.entries[1:]]
    assert len(left.entries) == 2 and left.shortfall == "2 of 20 places: the others are excluded, and no item is left to take their place"
    stranger = recommend(target, "nobody", 2, surface="email")
    assert (stranger.reason, [e.item_id for e in stranger.entries]) == ("unknown_user", items_of(rows, ANYBODY)[:2])
    with pytest.raises(NoSurface, match="the live version has no surface 'app'"):
        recommend(target, "u20", 3, surface="app")
    with pytest.raises(NoSurface):
        recommend(target, "nobody", 3, surface="app")


def publish(run: Run, target: Target) -> None:
    target.stage(publication("v1"), published_tables(run))
    target.check("v1")
    target.switch_to("v1", 3)
