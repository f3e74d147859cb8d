"""Contract of every publish target."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.base.surfaces import ANYBODY
from hybridrec.publishing.publish import newest_to_keep
from hybridrec.serving import lookup
from hybridrec.versions.publications import BESIDE_LISTS, PUBLISHED, Target
from tests.support.published_rows import publication, publish, rows, tables

EXTENSIONS = os.environ.get("HYBRIDREC_EXTENSIONS", "")  # a target under development: home clears the variable


NEEDS_A_SERVER = {"postgres": "postgres_address"}  # the fixture with the server's address


@pytest.fixture(params=extensions.names("targets"))
def target(request: pytest.FixtureRequest, home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", EXTENSIONS)
    if request.param in NEEDS_A_SERVER:
        monkeypatch.setenv(f"HYBRIDREC_{request.param.upper()}", request.getfixturevalue(NEEDS_A_SERVER[request.param]))
    found = extensions.module("targets", request.param).connect(Settings.from_env())
    yield found
    found.close()


def live_mark(target: Target) -> str:
    answer = target.read_user("u00001")
    assert answer is not None
    return answer.entries[0].reason.split('"')[1]


def test_nothing_published_is_said_so(target: Target) -> None:
    assert target.versions() == []
    for read in (
        lambda: target.read_user("u1"),
        lambda: target.read_popular("recent", 3),
        lambda: target.read_similar("i001", 3),
        lambda: target.read_lists("buy_again", ["u1"]),
        lambda: target.read_trending(3),
        lambda: list(target.read_live("items")),
    ):
        with pytest.raises(PermanentError, match="nothing has been published yet"):
            read()


def test_a_staged_version_is_invisible_until_the_switch(target: Target) -> None:
    publish(target, "v1", "one")
    target.stage(publication("v2"), tables("two"))
    target.check("v2")
    assert live_mark(target) == "one"
    target.switch_to("v2", 3)
    assert live_mark(target) == "two"
    assert {p.version: p.state for p in target.versions()} == {"v2": "live", "v1": "kept"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_come_back_as_they_were_staged(target: Target, name: str) -> None:
    publish(target, "v1", "one")
    assert pa.Table.from_batches(target.read_live(name)).equals(rows(name, "one"))


def test_some_columns_can_be_read_alone(target: Target) -> None:
    publish(target, "v1", "one")
    found = pa.Table.from_batches(target.read_live("recommendations", ("user_id", "item_ids")))
    assert found.equals(rows("recommendations", "one").select(["user_id", "item_ids"]))


def test_staging_twice_is_the_same_as_once(target: Target) -> None:
    first = target.stage(publication("v1"), tables("one"))
    second = target.stage(publication("v1"), tables("one", batch_rows=7))
    assert first.content_hash == second.content_hash
    assert [p.version for p in target.versions()] == ["v1"]
    target.check("v1")


def test_staging_replaces_a_version_that_was_never_live(target: Target) -> None:
    target.stage(publication("v1"), tables("one"))
    target.stage(publication("v1"), tables("two"))
    target.check("v1")
    target.switch_to("v1", 3)
    assert live_mark(target) == "two"


def test_the_live_version_staged_again_stays_live_and_never_changes(target: Target) -> None:
    publish(target, "v1", "one")
    assert publish(target, "v1", "one") == target.versions()[0].content_hash
    assert target.versions()[0].state == "live"
    with pytest.raises(PermanentError, match="never changes"):
        target.stage(publication("v1"), tables("two"))
    assert live_mark(target) == "one"
    target.check("v1")


def test_the_hash_says_whether_content_is_equal(target: Target) -> None:
    hashes = [target.stage(publication(version), tables(mark)).content_hash for version, mark in (("a", "one"), ("b", "one"), ("c", "two"))]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("break_rows", "message"),
    [
        (lambda table: table.take([0, 1, 1, 2]), "unique and in the order"),
        (lambda table: table.take([1, 0]), "unique and in the order"),
        (lambda table: table.set_column(5, "reason", pa.nulls(table.num_rows, pa.string())), "50 of 50 rows have no reason"),
        (lambda table: table.set_column(2, "scores", pa.array([[float("nan")] * 5] * 50, pa.list_(pa.float32()))), "250 of 250 numbers"),
    ],
)
def test_bad_rows_leave_the_old_version_live(target: Target, break_rows: object, message: str) -> None:
    publish(target, "v1", "one")
    bad = {**tables("two"), "recommendations": break_rows(rows("recommendations", "two")).to_batches()}  # type: ignore[operator]
    with pytest.raises(PermanentError, match=message):
        target.stage(publication("v2"), bad)
    assert live_mark(target) == "one"
    with pytest.raises(PermanentError, match="no version 'v2'; choose from v1"):
        target.switch_to("v2", 3)


def test_fewer_rows_than_the_run_wrote_are_refused(target: Target) -> None:
    with pytest.raises(PermanentError, match="recommendations: 50 rows came, the run wrote 51"):
        target.stage(publication("v1", counts={"recommendations": 51}), tables("one"))


def test_switching_back_works_and_versions_beyond_the_kept_ones_go(target: Target) -> None:
    for number in range(1, 6):
        publish(target, f"v{number}", f"mark{number}", keep=3)
    assert {p.version: p.state for p in target.versions()} == {"v5": "live", "v4": "kept", "v3": "kept", "v2": "dropped", "v1": "dropped"}
    target.switch_to("v3", 3)
    assert live_mark(target) == "mark3"
    target.check("v5")
    with pytest.raises(PermanentError, match="is dropped"):
        target.switch_to("v1", 3)
    assert publish(target, "v6", "mark6") != ""
    assert {p.version: p.state for p in target.versions() if p.state != "dropped"} == {"v6": "live", "v5": "kept", "v4": "kept"}


def test_an_old_live_version_is_never_dropped(target: Target) -> None:
    publish(target, "v1", "one")
    for number in range(2, 6):
        target.stage(publication(f"v{number}"), tables(f"mark{number}"))
    target.switch_to("v1", 2)
    assert live_mark(target) == "one"
    assert [p.version for p in target.versions() if p.state != "dropped"] == ["v5", "v4", "v1"]


def test_every_answer_says_where_it_comes_from(target: Target) -> None:
    publish(target, "v1", "one")
    answer = target.read_user("u00000")
    assert answer is not None
    assert (answer.run_id, answer.version, answer.reason) == ("run-v1", "v1", "ranked")
    assert answer.shortfall == "only five items are left"
    assert [e.rank for e in answer.entries] == [1, 2, 3, 4, 5]
    assert [e.item_id for e in answer.entries] == rows("recommendations", "one")["item_ids"][0].as_py()
    assert answer.entries[0].title == "Title one of i000"
    assert answer.entries[0].score == pytest.approx(0.9)
    assert answer.entries[0].source == "als+content"
    assert answer.valid_until > answer.generated_at
    assert target.read_user("nobody") is None
    assert target.read_user("' OR 1=1 --") is None


def test_popular_items_are_the_answer_for_the_unknown(target: Target) -> None:
    publish(target, "v1", "one")
    answer = target.read_popular("recent", 3)
    assert [(e.rank, e.item_id) for e in answer.entries] == [(1, "i000"), (2, "i001"), (3, "i002")]
    assert answer.reason == "unknown_user"
    assert answer.version == "v1"


def test_similar_items_come_with_titles_and_where_they_are_from(target: Target) -> None:
    publish(target, "v1", "one")
    found = target.read_similar("i001", 3)
    assert found is not None
    assert [(e.rank, e.item_id, e.title) for e in found.entries] == [
        (1, "i000", "Title one of i000"),
        (2, "i002", "Title one of i002"),
        (3, "i003", "Title one of i003"),
    ]
    assert [e.score for e in found.entries] == pytest.approx([1, 1 / 2, 1 / 3])
    assert (found.item_id, found.run_id, found.version, found.entries[0].source) == ("i001", "run-v1", "v1", "content")
    assert target.read_similar("i999", 3) is None


def test_lists_of_several_keys_come_in_their_order_with_titles(target: Target) -> None:
    publish(target, "v1", "one")
    found = target.read_lists("bought_together", ["i003", "i999", "i001"])
    assert [(row.key, row.ids) for row in found] == [("i003", ["i000", "i001", "i002", "i004"]), ("i001", ["i000", "i002", "i003", "i004"])]
    assert found[0].scores == pytest.approx([0.5, 0.25, 0.125, 0.03])
    assert found[0].titles["i000"] == "Title one of i000"
    assert found[0].origin[:2] == ("run-v1", "v1")
    assert target.read_lists("buy_again", ["u00002"])[0].ids == ["i002", "i003"]
    assert target.read_lists("item_audiences", ["i000"])[0].ids == ["u00001", "u00002", "u00000"]
    assert target.read_lists("buy_again", ["nobody", "' OR 1=1 --"]) == []


def test_a_user_has_a_list_on_each_surface(target: Target) -> None:
    publish(target, "v1", "one")
    email, cart, own = (target.read_user("u00002", surface) for surface in ("email", "cart", "recommendations"))
    assert email and cart and own
    assert [len(answer.entries) for answer in (email, cart, own)] == [1, 2, 5]
    assert (email.user_id, email.version, email.entries[0].title) == ("u00002", "v1", "Title one of i002")
    anybody = target.read_user(ANYBODY, "email")
    assert anybody and [entry.item_id for entry in anybody.entries] == ["i000"]
    assert [target.read_user(*asked) for asked in (("u00009", "email"), ("u00002", "app"), ("u00002", "' OR 1=1 --"))] == [None] * 3


def test_items_on_the_rise_come_by_rank(target: Target) -> None:
    publish(target, "v1", "one")
    found = target.read_trending(2)
    assert found is not None
    assert [(e.rank, e.item_id, e.score) for e in found.entries] == [(1, "i005", 4.0), (2, "i006", 2.5)]
    assert found.entries[0].title == "Title one of i005"
    assert (found.window_days, found.version, found.run_id) == (7.0, "v1", "run-v1")


def test_a_night_without_tables_besides_the_lists_has_the_same_hash_and_empty_ones(target: Target) -> None:
    whole = target.stage(publication("v1"), tables("one"))
    bare = target.stage(publication("v2"), tables("one") | dict.fromkeys(BESIDE_LISTS, ()))
    assert whole.content_hash == bare.content_hash
    target.check("v2")
    target.switch_to("v2", 3)
    assert target.read_trending(3) is None
    assert target.read_lists("bought_together", ["i001"]) == []
    assert live_mark(target) == "one"


def test_a_live_version_never_changes_in_a_table_besides_the_lists(target: Target) -> None:
    publish(target, "v1", "one")
    with pytest.raises(PermanentError, match="never changes"):
        target.stage(publication("v1"), tables("one") | {"trending": rows("trending", "another").to_batches()})
    assert target.read_trending(1) is not None
    target.check("v1")


def test_all_tables_are_switched_together(target: Target) -> None:
    publish(target, "v1", "one")
    publish(target, "v2", "three")

    def versions() -> set[str]:
        trending, together = target.read_trending(1), target.read_lists("bought_together", ["i001"])
        assert trending is not None
        surfaces = [target.read_user("u00002", surface) for surface in ("email", "cart")]
        assert all(surfaces)
        seen = {answer.version for answer in surfaces if answer}
        return seen | {trending.version, together[0].origin[1], target.read_popular("recent", 1).version}

    assert versions() == {"v2"}
    target.switch_to("v1", 3)
    assert versions() == {"v1"}


def test_the_publication_is_kept_as_given(target: Target) -> None:
    given = publication("v1", notes="override: a quote ' and Zoë")
    staged = target.stage(given, tables("one"))
    besides = {"buy_again": 25, "bought_together": 4, "item_audiences": 2, "trending": 3, "surface_lists": 6}
    assert staged.counts == {"recommendations": 50, "similar_items": 8, "popular_items": 10, "items": 8} | besides
    assert target.versions() == [staged]
    assert replace(staged, counts={}, content_hash="") == given
    assert json.dumps(staged.counts)


@pytest.mark.parametrize("version", ["", "V1", "v-1", 'v"; DROP TABLE publications; --', "x" * 41])
def test_a_version_that_could_not_be_a_table_name_is_refused(target: Target, version: str) -> None:
    with pytest.raises(PermanentError, match="version"):
        target.stage(publication(version), tables("one"))


TOY = """
from hybridrec.targets.sqlite import SqliteTarget

DOC = "A second file."


def connect(settings):
    return SqliteTarget(settings.home / "second.db")
"""


def test_a_target_of_one_new_file_is_published_to(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "toy_second_file.py").write_text(TOY)
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path))
    monkeypatch.setenv("HYBRIDREC_TARGET", "toy_second_file")
    assert "toy_second_file" in extensions.names("targets")
    found = lookup.open_target(Settings.from_env())
    publish(found, "v1", "one")
    assert lookup.recommend(found, "u00001", 3).version == "v1"
    assert (home / "second.db").exists()


def test_an_unknown_target_is_named_with_the_choices(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_TARGET", "tape")
    with pytest.raises(PermanentError, match=r"targets: there is no 'tape'; choose from .*sqlite"):
        lookup.open_target(Settings.from_env())


def test_a_backfills_version_pushes_no_kept_version_out(target: Target) -> None:
    for number in (1, 2, 3):
        publish(target, f"v{number}", f"mark{number}")
    for number in (1, 2):
        backfilled = publication(f"b{number}", notes="backfill")
        target.stage(backfilled, tables(f"old{number}"))
        target.switch_to(backfilled.version, newest_to_keep(target.versions(), 3, backfilled.version))
    assert {found.version: found.state for found in target.versions()} == {
        "b2": "live",
        "b1": "kept",
        "v3": "kept",
        "v2": "kept",
        "v1": "kept",
    }
    for number in (4, 5, 6):
        target.stage(publication(f"v{number}"), tables(f"mark{number}"))
        target.switch_to(f"v{number}", newest_to_keep(target.versions(), 3, f"v{number}"))
    assert {found.version for found in target.versions() if found.state != "dropped"} == {"v6", "v5", "v4"}
