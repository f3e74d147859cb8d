"""Answers to a person and a service for one user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.runs.run import Run
from hybridrec.serving import lookup
from hybridrec.targets.sqlite import SqliteTarget
from hybridrec.versions.publications import ServedAnswer
from jobs import check_output, publish_table
from jobs.lookup import Params, main
from tests.support.published_rows import publish


@pytest.fixture
def published(listed: Run) -> Run:
    check_output.main(check_output.Params(listed.run_id))
    publish_table.main(publish_table.Params(listed.run_id))
    return listed


def test_a_user_sees_titles_scores_and_reasons(published: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(Params("u10"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Recommendations for user u10")
    table = lines[2 : 2 + 11]
    assert table[0].split() == ["rank", "score", "item", "title", "why", "source"]
    title_at, why_at = table[0].index("title"), table[0].index("why")
    own = published.read("out_recommendations").to_pandas().set_index("user_id").loc["u10"]
    for place, line in enumerate(table[1:]):
        assert line.split()[0] == str(place + 1)
        assert own.item_ids[place] in line
        assert line[title_at:].startswith(("Space story number", "Love story number"))
        assert line[why_at:].startswith(own.reasons[place])
    assert lines[-1].startswith("run small, version small_")


def test_a_line_names_the_first_retrievers_only(published: Run) -> None:
    answer = lookup.recommend(lookup.open_target(published.settings), "u10", 2)
    retrievers = ("als", "als+ease+fm+bpr+ease")
    entries = tuple(replace(entry, source=retriever) for entry, retriever in zip(answer.entries, retrievers, strict=True))
    lines = lookup.as_lines(replace(answer, entries=entries))
    assert lines[3].endswith("  als") and lines[4].endswith("  als+ease+fm and 2 more")


def test_k_limits_the_list(published: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(Params("u10", k=3))
    assert len(capsys.readouterr().out.splitlines()) == 2 + 4 + 2


def test_an_unknown_user_gets_popular_items_and_is_told(published: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(Params("stranger", k=4))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "User stranger is not known; these are popular items"
    assert len(lines) == 2 + 5 + 2
    answer = lookup.recommend(lookup.open_target(published.settings), "stranger", 4)
    assert (answer.user_id, answer.reason) == ("stranger", "unknown_user")


def test_a_user_without_a_list_of_their_own_is_told(published: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(Params("u58"))
    assert capsys.readouterr().out.startswith("User u58 has no list of their own yet; these are popular items")


def test_nothing_published_is_said_in_a_sentence(listed: Run) -> None:
    with pytest.raises(PermanentError, match="nothing has been published yet; run the DAG nightly_retrain"):
        main(Params("u10"))


def test_k_below_one_is_refused(published: Run) -> None:
    with pytest.raises(PermanentError, match="k is 0, expected 1 or more"):
        main(Params("u10", k=0))


class Switching(SqliteTarget):
    """A target whose live version changes before popular items are read, so many times."""

    switches = 0

    def read_popular(self, window: str, k: int) -> ServedAnswer:
        if self.switches:
            self.switches -= 1
            publish(SqliteTarget(self.path), f"v{self.switches}", f"mark{self.switches}")
        return super().read_popular(window, k)


def test_an_answer_filled_during_a_switch_is_of_one_version(tmp_path: Path) -> None:
    target = Switching(tmp_path / "recommendations.db")
    publish(target, "v9", "mark9")
    target.switches = 2
    answer = lookup.recommend(target, "u00005", 5, frozenset({"i005", "i006", "i007"}))
    assert (answer.version, answer.reason, len(answer.entries)) == ("v0", "filled", 5)
    assert {entry.title.split()[1] for entry in answer.entries if entry.title} == {"mark0"}
    target.close()


def test_a_version_that_changes_again_and_again_is_given_up(tmp_path: Path) -> None:
    target = Switching(tmp_path / "recommendations.db")
    publish(target, "v9", "mark9")
    target.switches = lookup.ATTEMPTS
    with pytest.raises(TimeoutError, match="ask again"):
        lookup.recommend(target, "u00005", 5, frozenset({"i005", "i006", "i007"}))
    target.close()


def test_the_second_tier_of_popular_items_is_asked_when_the_first_ends(tmp_path: Path) -> None:
    """Nothing of u00003's items (i003 to i007) is left, two of the recently popular ones (i000 to i004), and none of all time."""
    target = SqliteTarget(tmp_path / "recommendations.db")
    publish(target, "v1", "one")
    answer = lookup.recommend(target, "u00003", 5, frozenset(f"i{number:03d}" for number in range(2, 8)))
    assert [(entry.rank, entry.item_id, entry.source) for entry in answer.entries] == [
        (1, "i000", "popular_recent"),
        (2, "i001", "popular_recent"),
    ]
    assert (answer.reason, answer.shortfall) == (
        "fallback",
        "2 of 5 places: the others are excluded, and no item is left to take their place",
    )
    target.close()


def test_tables_besides_the_lists_are_looked_up_too(published: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def lines(params: Params) -> list[str]:
        main(params)
        return capsys.readouterr().out.splitlines()

    row = published.read("out_bought_together").to_pylist()[0]
    told = lines(Params(table="bought_together", item_ids=(row["item_id"],), k=2))
    assert told[0] == f"Bought together with {row['item_id']}"
    assert [line.split()[2] for line in told[3:5]] == row["item_ids"][:2]
    audience = max(published.read("out_item_audiences").to_pylist(), key=lambda row: len(row["user_ids"]))
    told = lines(Params(table="item_audiences", item_ids=(audience["item_id"],), k=3))
    assert [line.split()[2] for line in told[3:6]] == audience["user_ids"][:3]
    assert lines(Params(table="trending"))[0].startswith("More popular in the newest")
    assert lines(Params(table="buy_again", user_id="u10")) == [
        "The live version has nothing in buy_again for u10"
    ]  # lists hold no repeats here
    for params in (Params(), Params(table="buy_again"), Params(table="bought_together")):
        with pytest.raises(PermanentError, match=r"give --(user-id|item-ids)"):
            main(params)
