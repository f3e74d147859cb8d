"""Cut lists to k and fill short ones: every user gets k items while the catalogue has an eligible one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridrec.reranking.popular import FallbackTiers
from hybridrec.reranking.rule_chain import Rule, apply_rules
from hybridrec.rules import Kind, RuleContext

OWN = -1  # `tier` of a row that a retriever retrieved
WIDTH = 10  # times k: how far down the fallback to look first; only then at the whole catalogue
MAX_ROWS = 1_000_000  # users x fallback at a time
REMOVING = tuple(kind for kind in Kind if not kind.keeps_rows)
BINDING = tuple(kind for kind in REMOVING if not kind.yields_to_length)


def first_entries(
    kept: pd.DataFrame, own: pd.DataFrame, fallback: FallbackTiers, context: RuleContext, rules: Sequence[Rule]
) -> pd.DataFrame:
    """Return the k first rows of each user: what rules kept, then other items that every FILTER lets through.

    kept: user_idx, item_idx, score, what all rules left, in order. own: the user's ranked rows before rules.
    Further items come from the user's own rows, then from the fallback, as long as the CAPs allow; if that does not give k, the caps are
    dropped, and if that is not enough, the whole catalogue is used. Returns user_idx, item_idx, score, tier (OWN or an index in TIERS), by
    user, best first; scores never rise. An entry from the fallback scores as far below the user's last own one as it lies below the top of
    the fallback.
    """
    entries = _head(kept.assign(tier=OWN, part=0), context.k)
    for kinds, depth in (
        (REMOVING, WIDTH * context.k),
        (BINDING, WIDTH * context.k),
        (BINDING, len(fallback.items)),
    ):
        short = _short_users(entries, context)
        parts = [entries[~entries["user_idx"].isin(short)]]
        for users in np.array_split(short, max(1, -(-len(short) * depth // MAX_ROWS))) if len(short) else ():
            parts.append(_extended(users, entries, own, _steps(fallback, depth), context, rules, kinds))
        entries = pd.concat(parts, ignore_index=True)
    return _with_falling_scores(entries.sort_values(["user_idx", "part", "position"], ignore_index=True))


def _short_users(entries: pd.DataFrame, context: RuleContext) -> NDArray[np.int32]:
    counts = np.bincount(np.searchsorted(context.users, entries["user_idx"].to_numpy()), minlength=len(context.users))
    return np.asarray(context.users[counts < context.k])


def _steps(fallback: FallbackTiers, depth: int) -> FallbackTiers:
    return FallbackTiers(fallback.items[:depth], fallback.tiers[:depth], fallback.scores[:depth])


def _extended(
    users: NDArray[np.int32],
    entries: pd.DataFrame,
    own: pd.DataFrame,
    fallback: FallbackTiers,
    context: RuleContext,
    rules: Sequence[Rule],
    kinds: Sequence[Kind],
) -> pd.DataFrame:
    """Return the first k entries of short users, chosen among what they have, their own rows and the fallback."""
    n_steps = len(fallback.items)
    steps = pd.DataFrame(
        {
            "user_idx": np.repeat(users, n_steps),
            "item_idx": np.tile(fallback.items, len(users)),
            "score": np.tile(fallback.scores, len(users)),
            "tier": np.tile(fallback.tiers, len(users)).astype(np.int64),
            "part": 2,
        }
    )
    mine = own[own["user_idx"].isin(users)]
    chosen = pd.concat([entries[entries["user_idx"].isin(users)], mine.assign(tier=OWN, part=1), steps], ignore_index=True)
    chosen = chosen.drop(columns="position").sort_values(["user_idx", "part"], kind="stable", ignore_index=True)
    chosen = chosen.drop_duplicates(["user_idx", "item_idx"], ignore_index=True)
    # rules that remove rows leave scores alone, so a row's number can travel as its score
    numbered = chosen[["user_idx", "item_idx"]].assign(score=-np.arange(len(chosen), dtype=np.float64))
    left = apply_rules(numbered, context, rules, kinds)
    return _head(chosen.iloc[(-left["score"].to_numpy()).astype(np.int64)], context.k)


def _head(rows: pd.DataFrame, k: int) -> pd.DataFrame:
    position = rows.groupby("user_idx").cumcount()
    return rows.assign(position=position).take(np.flatnonzero(position.to_numpy() < k))


def _with_falling_scores(entries: pd.DataFrame) -> pd.DataFrame:
    from_fallback = entries["tier"].to_numpy() != OWN
    own_scores = entries["score"].where(~from_fallback)
    lowest = own_scores.groupby(entries["user_idx"]).transform("min").fillna(1.0).to_numpy()
    scores = pd.Series(np.where(from_fallback, lowest - (1.0 - entries["score"].to_numpy()), entries["score"].to_numpy()))
    falling = scores.groupby(entries["user_idx"]).cummin()
    return entries.assign(score=falling)[["user_idx", "item_idx", "score", "tier"]]
