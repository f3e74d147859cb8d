"""The tables besides the lists of a small shop, and how they are judged."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.publishing import output_checks, table_checks
from hybridrec.reranking.inputs import read_items
from hybridrec.runs.run import Run
from hybridrec.side_tables import audiences
from hybridrec.side_tables.judging import judge_tables
from hybridrec.side_tables.made import write_tables
from hybridrec.tables import table
from hybridrec.versions.publications import BESIDE_LISTS
from tests.support import small_shop


@pytest.fixture
def shop(home: Path) -> Run:
    run = small_shop.make_shop()
    write_tables(run, read_items(run))
    return run


def rows(run: Run, name: str) -> pd.DataFrame:
    return run.read(f"out_{name}").to_pandas()


def test_staples_come_first_in_what_to_buy_again(shop: Run) -> None:
    found = rows(shop, "buy_again").set_index("user_id")
    bought = small_shop.orders()
    assert len(found) == small_shop.N_USERS
    most = bought.groupby(["user_idx", "item_idx"]).size().reset_index(name="n")
    most = most[most.item_idx != small_shop.SOLD_OUT].sort_values(["user_idx", "n"], ascending=[True, False])
    firsts = most.groupby("user_idx").item_idx.first()
    hits = [f"i{item:02d}" in found.item_ids[f"u{user:02d}"][:3] for user, item in firsts.items()]
    assert sum(hits) >= 0.9 * len(hits)
    own = bought.groupby("user_idx").item_idx.agg(set)
    assert all({int(item[1:]) for item in row.item_ids} <= own[int(row.Index[1:])] for row in found.itertuples())


def test_pairs_are_bought_together(shop: Run) -> None:
    found = rows(shop, "bought_together").set_index("item_id")
    partners = {n: n + 1 for n in range(0, 14, 2)}
    assert [found.item_ids[f"i{n:02d}"][0] for n in partners] == [f"i{other:02d}" for other in partners.values()]
    assert not any("i14" in row for row in found.item_ids)
    assert all(list(row) == sorted(row, reverse=True) for row in found.scores)


def test_an_audience_has_no_recent_buyer_and_nobody_who_opted_out(shop: Run) -> None:
    found = rows(shop, "item_audiences").set_index("item_id")
    bought = small_shop.orders()
    late = bought[(small_shop.AS_OF - bought.ordered_at).dt.days < audiences.RECENT_DAYS]
    recent = {(f"i{item:02d}", f"u{user:02d}") for user, item in late[["user_idx", "item_idx"]].to_numpy()}
    reached = {(item, user) for item, row in found.user_ids.items() for user in row}
    assert reached
    assert not reached & recent
    assert f"u{small_shop.OPTED_OUT:02d}" not in {user for _, user in reached}
    assert f"i{small_shop.SOLD_OUT:02d}" not in found.index
    mine = [user for item, user in reached if int(item[1:]) < 15]
    assert sum(int(user[1:]) < 20 for user in mine) > 0.9 * len(mine)


def test_the_tables_pass_their_checks_and_planted_faults_are_found(shop: Run) -> None:
    assert {name: sum(counts.values()) for name, counts in table_checks.faults(shop).items()} == dict.fromkeys(BESIDE_LISTS, 0)
    found = rows(shop, "item_audiences")
    planted = found.assign(user_ids=[[f"u{small_shop.OPTED_OUT:02d}", *row[1:]] for row in found.user_ids])
    write(shop, "item_audiences", planted)
    together = rows(shop, "bought_together")
    write(shop, "bought_together", together.assign(item_ids=[["i14", "i99", *row[2:]] for row in together.item_ids]))
    again = rows(shop, "buy_again")
    write(
        shop,
        "buy_again",
        again.assign(scores=[row[::-1] for row in again.scores], item_ids=[[row[0]] * len(row) for row in again.item_ids]),
    )
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


def write(run: Run, name: str, frame: pd.DataFrame) -> None:
    import pyarrow as pa

    run.write(f"out_{name}", table(f"out_{name}").conform(pa.Table.from_pandas(frame, preserve_index=False)))


def test_each_table_is_judged_against_its_baseline(shop: Run) -> None:
    found = table("out_table_comparisons").conform(judge_tables(shop)).to_pandas()
    assert set(found.name) == set(BESIDE_LISTS)
    assert (found.low <= found.difference).all()
    assert (found.difference <= found.high).all()
    assert found.value.between(0, 1).all()
    assert ((found.value - found.against_value) - found.difference).abs().max() < 1e-9
    assert (found.n_judged > 0).all()
    together = found[(found.name == "bought_together") & (found.metric == "ndcg@5")].iloc[0]
    assert together.value > 0.3


def test_a_rerun_gives_the_same_rows(shop: Run) -> None:
    before = {name: shop.read(f"out_{name}") for name in BESIDE_LISTS}
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
    assert not {(row.item_id, user) for row in found.itertuples() for user in row.user_ids} & had
    assert "buy_again" not in judge_tables(run)["name"].to_pylist()
