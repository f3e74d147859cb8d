"""Orders that a split's cut divides: what was bought before it is history, the rest is label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.base.config import Config
from hybridrec.base.settings import Settings
from hybridrec.dataset.orders import Orders, read_orders
from hybridrec.runs.run import Run, RunManifest, Split
from hybridrec.side_tables.buy_again import choices

CUT = datetime(2026, 3, 1, 14, tzinfo=UTC)
END = CUT + timedelta(days=10)
X, Y, Z = 0, 1, 2


@pytest.fixture
def run(home: Path) -> Run:
    """Provide a run whose user 0 bought X four hours before the cut and Y four hours after it in one order, and Z in another one."""
    splits = {"holdout": Split("holdout", CUT, END), "full": Split("full", END, None)}
    made = Run.create(RunManifest("orders", "shop", END, (), False, "test", splits, {}, Config(), repeats=True), Settings.from_env())
    rows = [(1, 0, X, CUT - timedelta(hours=4)), (1, 0, Y, CUT + timedelta(hours=4)), (2, 0, Z, CUT - timedelta(days=3))]
    orders = pd.DataFrame(rows, columns=["order_key", "user_idx", "item_idx", "bought_at"]).assign(quantity=1.0)
    made.write("model_orders", pa.Table.from_pandas(orders, preserve_index=False))
    return made


def items_and_days(orders: Orders) -> dict[int, float]:
    return dict(zip(orders.item.tolist(), orders.days.tolist(), strict=True))


def test_what_an_order_holds_after_the_cut_is_no_history(run: Run) -> None:
    assert items_and_days(read_orders(run, CUT)) == pytest.approx({X: 4 / 24, Z: 3.0})
    bought = choices(run, "holdout", range(1))
    assert bought.item.tolist() == [X, Z] and (bought.days > 0).all()


def test_what_an_order_holds_after_the_cut_is_a_label(run: Run) -> None:
    assert items_and_days(read_orders(run, CUT, END)) == pytest.approx({Y: -4 / 24})


def test_an_item_is_as_old_as_its_own_purchase(run: Run) -> None:
    assert items_and_days(read_orders(run, END)) == pytest.approx({X: 10 + 4 / 24, Y: 10 - 4 / 24, Z: 13.0})
