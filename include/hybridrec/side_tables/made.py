"""Make the tables besides the lists of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec.dataset.orders import read_orders
from hybridrec.retrieval.select import empty_lists
from hybridrec.side_tables import audiences, baskets, buy_again, trending
from hybridrec.side_tables.rows import as_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hybridrec.runs.run import Run


def write_tables(run: Run, items: pd.DataFrame) -> None:
    """Write out_buy_again, out_bought_together, out_item_audiences and out_trending; a table that the data cannot fill is empty.

    items: model_items by item_idx, as reranking.inputs reads them.
    """
    users = run.read("model_users", columns=["user_idx", "user_id"]).sort_by("user_idx")["user_id"].combine_chunks()
    run.write("out_buy_again", buy_again.buy_again(run, items, users, run.config.k))
    nearness = baskets.together(read_orders(run, run.split("full").cut), len(items), run.settings.threads)
    run.write("out_bought_together", baskets.bought_together(nearness, items))
    run.write("out_item_audiences", _audiences(run, items, users))
    run.write("out_trending", _trending(run, items))


def _audiences(run: Run, items: pd.DataFrame, users: pa.Array) -> pa.Table:
    import pyarrow as pa

    made = audiences.gather(run, "full")
    if made is None:
        return as_table("item_audiences", pa.array(items["item_id"], pa.string()), users, empty_lists(0, audiences.LISTED))
    return audiences.item_audiences(made, items, users, run.settings.threads)


def _trending(run: Run, items: pd.DataFrame) -> pa.Table:
    from hybridrec.tables import table

    if run.config.split != "time":
        return table("out_trending").arrow_schema().empty_table()
    counts, span, known = trending.of_run(run)
    return trending.trending_items(trending.rise(counts, 0, trending.chosen_window(trending.judge_windows(counts, span, known))), items)
