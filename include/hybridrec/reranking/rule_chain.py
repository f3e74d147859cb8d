"""Run the business rules over ranked lists, kind by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridrec.base import extensions
from hybridrec.base.config import Config, with_options
from hybridrec.base.errors import PermanentError
from hybridrec.rules import Kind, RuleContext

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

COLUMNS = ["user_idx", "item_idx", "score"]


@dataclass(frozen=True)
class Rule:
    """A rule with its options."""

    name: str
    kind: Kind
    run: Callable[[pd.DataFrame, RuleContext], pd.DataFrame]

    def __call__(self, ranked: pd.DataFrame, context: RuleContext) -> pd.DataFrame:
        """Apply the rule to the rows; PermanentError if it did something that its kind may not do."""
        after = self.run(ranked, context)
        if self.kind.keeps_rows and not (len(after) == len(ranked) and np.isfinite(after["score"].to_numpy()).all()):
            raise PermanentError(
                f"rule {self.name}: {len(ranked)} rows became {len(after)}; a {self.kind.name} keeps every row and gives finite scores"
            )
        if not after.index.isin(ranked.index).all():
            raise PermanentError(f"rule {self.name}: {len(after)} rows are not among the {len(ranked)} given; a rule adds no rows")
        return after


def active_rules(config: Config) -> list[Rule]:
    """Return all rules that are not switched off, with the options of this night."""
    return [_rule(name, module, config) for name, module in extensions.modules("rules").items()]


def apply_rules(ranked: pd.DataFrame, context: RuleContext, rules: Sequence[Rule], kinds: Sequence[Kind] = tuple(Kind)) -> pd.DataFrame:
    """Return the rows that are left, in their new order: by user, then score falling, then item.

    ranked: user_idx, item_idx, score; any order. The order of `rules` does not matter.
    """
    for kind in sorted(kinds):
        ranked = _apply_kind(in_order(ranked), context, sorted((rule for rule in rules if rule.kind == kind), key=lambda rule: rule.name))
    return in_order(ranked)


def in_order(ranked: pd.DataFrame) -> pd.DataFrame:
    """Return rows sorted by user, score falling, item, with new numbers."""
    users, items, scores = (ranked[name].to_numpy() for name in COLUMNS)
    same, level = users[1:] == users[:-1], scores[1:] == scores[:-1]
    falls = (scores[1:] < scores[:-1]) | (level & (items[1:] > items[:-1]))
    if ((users[1:] > users[:-1]) | (same & falls)).all():  # a third of the time of a block went into sorting what was sorted
        return ranked.reset_index(drop=True)
    return ranked.iloc[np.lexsort((items, -scores, users))].reset_index(drop=True)


def _apply_kind(ranked: pd.DataFrame, context: RuleContext, rules: Sequence[Rule]) -> pd.DataFrame:
    """Apply all rules of a kind to the same rows: keep the rows that all of them keep, add up their changes of scores."""
    results = [rule(ranked, context) for rule in rules]
    if not results or ranked.empty:
        return ranked
    if len(results) == 1:
        return results[0]
    kept = np.logical_and.reduce([ranked.index.isin(after.index) for after in results])
    before = ranked["score"].to_numpy(dtype=np.float64)
    change = np.sum([after["score"].reindex(ranked.index).to_numpy(dtype=np.float64) - before for after in results], axis=0)
    return ranked.assign(score=before + change).take(np.flatnonzero(kept))


def _rule(name: str, module: Any, config: Config) -> Rule:
    if not hasattr(module, "Config"):
        return Rule(name, Kind(module.KIND), module.apply)
    options = with_options(module.Config(), config.options("rules", name), f"[rules.{name}]")
    return Rule(name, Kind(module.KIND), lambda ranked, context: module.apply(ranked, context, options))
