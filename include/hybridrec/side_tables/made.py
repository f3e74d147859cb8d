"""Make the tables besides the lists of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hybridrec.base.config import SIDE_TABLES
from hybridrec.dataset.orders import read_orders
from hybridrec.side_tables import audiences, baskets, buy_again, trending
from hybridrec.side_tables.blocks import user_blocks

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hybridrec.runs.run import Run


def write_tables(run: Run, items: pd.DataFrame) -> None:
    """Write out_buy_again, out_bought_together, out_item_audiences and out_trending.

    A table that the data cannot fill, or that `[night] side_tables` does not name, is empty. items: model_items by item_idx, as
    reranking.inputs reads them.
    """
    users = _user_ids(run)
    tables = dict(zip(SIDE_TABLES, (_buy_again, _bought_together, _item_audiences, _trending), strict=True))
    for name in SIDE_TABLES:
        run.write_batches(f"out_{name}", tables[name](run, items, users) if name in run.config.side_tables else ())


def _user_ids(run: Run) -> pa.Array:
    """Return user_id by user_idx; ids of sixty million users are more than the 2 GiB that an array of small strings can hold."""
    import pyarrow as pa

    users = run.read("model_users", columns=["user_idx", "user_id"])
    large = pa.table({"user_idx": users["user_idx"], "user_id": users["user_id"].cast(pa.large_string())})
    return large.sort_by("user_idx")["user_id"].combine_chunks()


def _buy_again(run: Run, items: pd.DataFrame, users: pa.Array) -> Iterator[pa.Table]:
    return buy_again.buy_again(run, items, users, run.config.k)


def _bought_together(run: Run, items: pd.DataFrame, _: pa.Array) -> Iterator[pa.Table]:
    cut = run.split("full").cut
    parts = (read_orders(run, cut, users=users) for users in user_blocks(run, "full"))
    yield from baskets.bought_together(baskets.together(parts, len(items), run.settings.threads), items)


def _item_audiences(run: Run, items: pd.DataFrame, users: pa.Array) -> Iterator[pa.Table]:
    return audiences.item_audiences(run, items, users)


def _trending(run: Run, items: pd.DataFrame, _: pa.Array) -> Iterator[pa.Table]:
    if run.config.split != "time":
        return
    counts, span, known = trending.of_run(run)
    yield trending.trending_items(trending.rise(counts, 0, trending.chosen_window(trending.judge_windows(counts, span, known))), items)
