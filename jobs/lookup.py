"""Print what a service would show: titles, scores and reasons, from the live published tables.

A user's list with --user-id, on another surface than the night's own with --surface; one of the tables besides the lists with --table:
buy_again of a user, bought_together of one or several --item-ids, item_audiences of an item, trending.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.execution import job
from hybridrec.serving import lookup, table_lookups
from hybridrec.versions.publications import BoughtTogether, BuyAgain, ItemAudience, Target, Trending


@dataclass(frozen=True)
class Params:
    user_id: str = ""
    item_ids: tuple[str, ...] = ()
    table: Literal["recommendations", "buy_again", "bought_together", "item_audiences", "trending"] = "recommendations"
    k: int = 20
    surface: str = DEFAULT_SURFACE


def main(params: Params) -> None:
    if params.k < 1:
        raise PermanentError(f"k is {params.k}, expected 1 or more")
    sys.stdout.write("\n".join(_lines(params, lookup.open_target(Settings.from_env()))) + "\n")


def _lines(params: Params, target: Target) -> list[str]:
    if params.table in ("recommendations", "buy_again") and not params.user_id:
        raise PermanentError(f"{params.table} is by user; give --user-id")
    if params.table in ("bought_together", "item_audiences") and not params.item_ids:
        raise PermanentError(f"{params.table} is by item; give --item-ids")
    if params.table == "recommendations":
        try:
            return lookup.as_lines(lookup.recommend(target, params.user_id, params.k, surface=params.surface))
        except lookup.NoSurface as error:
            raise PermanentError(str(error)) from None
    answer = _answer(params, target)
    if answer is None:
        of = params.user_id if params.table == "buy_again" else ", ".join(params.item_ids)
        return [f"The live version has nothing in {params.table}{f' for {of}' if of else ''}"]
    return table_lookups.as_lines(answer)


def _answer(params: Params, target: Target) -> BuyAgain | BoughtTogether | ItemAudience | Trending | None:
    if params.table == "buy_again":
        return table_lookups.buy_again(target, params.user_id, params.k)
    if params.table == "bought_together":
        return table_lookups.bought_together(target, params.item_ids, params.k)
    if params.table == "item_audiences":
        return table_lookups.audience(target, params.item_ids[0], params.k)
    return table_lookups.trending(target, params.k)


if __name__ == "__main__":
    job.start(main, Params)
