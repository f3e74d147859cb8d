"""The tables besides the lists of a small shop, and how they are judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.config import read_config
from hybridrec.base.errors import PermanentError
from hybridrec.dataset.orders import read_orders
from hybridrec.publishing import output_checks, table_checks
from hybridrec.reranking.inputs import read_items
from hybridrec.runs.run import Run
from hybridrec.side_tables import audiences, blocks, buy_again
from hybridrec.side_tables import rows as side_rows
from hybridrec.side_tables.baskets import together
from hybridrec.side_tables.judging import judge_tables
from hybridrec.side_tables.made import write_tables
from hybridrec.tables import table
from hybridrec.versions.publications import LISTED, SIDE_TABLES
from tests.support import small_shop


@pytest.fixture
def shop(home: Path) -> Run:
    run = small_shop.make_shop()
    write_tables(run, read_items(run))
    return run


def rows(run: Run, name: str) -> dict[str, dict[str, Any]]:
    """Return the table by its key."""
    [key] = table(f"out_{name}").key
    return {row[key]: row for row in run.read(f"out_{name}").to_pylist()}


def write(run: Run, name: str, changed: list[dict[str, Any]]) -> None:
    run.write(f"out_{name}", pa.Table.from_pylist(changed, table(f"out_{name}").arrow_schema()))


def test_staples_come_first_in_what_to_buy_again(shop: Run) -> None:
    found = rows(shop, "buy_again")
    bought = small_shop.orders()
    assert len(found) == small_shop.N_USERS
    times = Counter(zip(bought.user_idx.tolist(), bought.item_idx.tolist(), strict=True))
    for sold_out in [pair for pair in times if pair[1] == small_shop.SOLD_OUT]:
        del times[sold_out]
    firsts = {user: max((n, -item) for (other, item), n in times.items() if other == user) for user in range(small_shop.N_USERS)}
    hits = [f"i{-item:02d}" in found[f"u{user:02d}"]["item_ids"][:3] for user, (_, item) in firsts.items()]
    assert sum(hits) >= 0.9 * len(hits)
    assert {(int(user[1:]), int(item[1:])) for user, row in found.items() for item in row["item_ids"]} <= set(times)


def test_pairs_are_bought_together(shop: Run) -> None:
    found = rows(shop, "bought_together")
    assert [found[f"i{n:02d}"]["item_ids"][0] for n in range(0, 14, 2)] == [f"i{n + 1:02d}" for n in range(0, 14, 2)]
    assert not any("i14" in row["item_ids"] for row in found.values())
    assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in found.values())


def test_an_audience_has_no_recent_buyer_and_nobody_who_opted_out(shop: Run) -> None:
    found = rows(shop, "item_audiences")
    bought = small_shop.orders()
    late = bought[(small_shop.AS_OF - bought.bought_at).dt.days < audiences.RECENT_DAYS]
    recent = {(f"i{item:02d}", f"u{user:02d}") for user, item in late[["user_idx", "item_idx"]].to_numpy()}
    reached = {(item, user) for item, row in found.items() for user in row["user_ids"]}
    assert reached
    assert not reached & recent
    assert f"u{small_shop.OPTED_OUT:02d}" not in {user for _, user in reached}
    assert f"i{small_shop.SOLD_OUT:02d}" not in found
    mine = [user for item, user in reached if int(item[1:]) < 15]
    assert sum(int(user[1:]) < 20 for user in mine) > 0.9 * len(mine)


def test_the_tables_pass_their_checks_and_planted_faults_are_found(shop: Run) -> None:
    assert {name: sum(counts.values()) for name, counts in table_checks.faults(shop).items()} == dict.fromkeys(SIDE_TABLES, 0)
    found = list(rows(shop, "item_audiences").values())
    write(shop, "item_audiences", [row | {"user_ids": [f"u{small_shop.OPTED_OUT:02d}", *row["user_ids"][1:]]} for row in found])
    together = list(rows(shop, "bought_together").values())
    write(shop, "bought_together", [row | {"item_ids": ["i14", "i99", *row["item_ids"][2:]]} for row in together])
    again = rows(shop, "buy_again").values()
    repeated = [row | {"item_ids": [row["item_ids"][0]] * len(row["scores"]), "scores": row["scores"][::-1]} for row in again]
    write(shop, "buy_again", repeated)
    counts = table_checks.faults(shop)
    assert counts["item_audiences"]["opted_out"] == len(found)
    assert counts["bought_together"]["unavailable"] == counts["bought_together"]["unknown"] == len(together)
    assert counts["buy_again"]["bad_scores"] > 0
    assert counts["buy_again"]["repeated"] > 0
    assert sum(counts["trending"].values()) == 0
    [failed, *_] = [check for check in output_checks.broken_tables(shop) if not check.passed]
    assert not failed.may_be_overridden
    with pytest.raises(PermanentError, match=r"^the tables besides the lists: buy_again is \d+, at most 0 passes \(.*twice in one list"):
        output_checks.require_passed({"checks": [asdict(failed)], "override_reason": None})


def test_each_table_is_judged_against_its_baseline(shop: Run) -> None:
    found = table("out_table_comparisons").conform(judge_tables(shop)).to_pandas()
    assert set(found.name) == set(SIDE_TABLES)
    assert (found.low <= found.difference).all()
    assert (found.difference <= found.high).all()
    assert found.value.between(0, 1).all()
    assert ((found.value - found.against_value) - found.difference).abs().max() < 1e-9
    assert (found.n_judged > 0).all()
    low = found.set_index(["name", "metric"]).low
    assert low["buy_again", "ndcg@5"] > 0, "what beginners bought often does not come again"
    assert low["bought_together", "ndcg@5"] > 0, "pairs are bought in one order"
    assert low["item_audiences", "ndcg@50"] > 0, "two groups of users buy among two groups of items"


def test_an_order_and_a_session_that_a_cut_divides(shop: Run) -> None:
    """Items bought after the cut are labels of the split, and no history."""
    window, first, second = shop.split("holdout"), small_shop.SOLD_OUT, small_shop.NEVER_ELSE
    past, coming = (
        {pair for pair in zip(found.user.tolist(), found.item.tolist(), strict=True) if pair[1] in (first, second)}
        for found in (read_orders(shop, window.cut), read_orders(shop, window.cut, window.label_end))
    )
    assert past == {(5, first), (25, second)}
    assert coming == {(5, second), (25, first)}
    nearness = [together([read_orders(shop, shop.split(name).cut)], small_shop.N_ITEMS, 1)[first, second] for name in ("holdout", "full")]
    assert nearness[0] == 0 < nearness[1]
    bought = buy_again.bought_in(shop, "holdout", range(small_shop.N_USERS), small_shop.N_ITEMS)
    assert (bought.last > 0).all()


def test_users_in_blocks_give_the_same_tables(shop: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before, judged = {name: rows(shop, name) for name in LISTED}, judge_tables(shop).to_pandas()
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 300)
    monkeypatch.setattr(side_rows, "ROWS", 7)
    assert len(blocks.user_blocks(shop, "full")) > 3
    write_tables(shop, read_items(shop))
    for name in LISTED:
        found = rows(shop, name)
        assert list(found) == list(before[name])
        assert all(found[key][LISTED[name]] == row[LISTED[name]] for key, row in before[name].items())
        assert all(found[key]["scores"] == pytest.approx(row["scores"], rel=1e-5) for key, row in before[name].items())
        [file] = shop.files(f"out_{name}")
        assert pq.read_metadata(file).num_row_groups >= len(found) / 7, "texts of all lists are never in one array"
    again = judge_tables(shop).to_pandas()
    assert again.n_judged.tolist() == judged.n_judged.tolist()
    assert again.value.tolist() == pytest.approx(judged.value.tolist())
    assert again.against_value.tolist() == pytest.approx(judged.against_value.tolist())


def test_a_table_that_is_not_wanted_is_empty_and_not_judged(home: Path) -> None:
    run = small_shop.make_shop(side_tables=["buy_again", "trending"])
    write_tables(run, read_items(run))
    assert [name for name in SIDE_TABLES if run.read(f"out_{name}").num_rows] == ["buy_again", "trending"]
    assert set(judge_tables(run)["name"].to_pylist()) == {"buy_again", "trending"}
    assert {name: sum(counts.values()) for name, counts in table_checks.faults(run).items()} == dict.fromkeys(SIDE_TABLES, 0)


def test_a_table_that_there_is_not_is_named(tmp_path: Path) -> None:
    (tmp_path / "hybridrec.toml").write_text('[night]\nside_tables = ["buy_agin"]\n')
    with pytest.raises(PermanentError, match=r"\[night\] side_tables: there is no table 'buy_agin'.*buy_again"):
        read_config(tmp_path / "hybridrec.toml")


def test_a_rerun_gives_the_same_rows(shop: Run) -> None:
    before = {name: shop.read(f"out_{name}") for name in SIDE_TABLES}
    judged = judge_tables(shop)
    write_tables(shop, read_items(shop))
    assert all(shop.read(f"out_{name}").equals(made) for name, made in before.items())
    assert judge_tables(shop).equals(judged)


def test_where_nobody_chooses_again_there_is_nothing_to_buy_again(home: Path) -> None:
    run = small_shop.make_shop(repeats=False)
    write_tables(run, read_items(run))
    assert run.read("out_buy_again").num_rows == 0
    assert run.read("out_bought_together").num_rows > 0
    bought = small_shop.orders()
    had = {(f"i{item:02d}", f"u{user:02d}") for user, item in bought[["user_idx", "item_idx"]].to_numpy()}
    found = rows(run, "item_audiences")
    assert not {(item, user) for item, row in found.items() for user in row["user_ids"]} & had
    assert "buy_again" not in judge_tables(run)["name"].to_pylist()
