"""Contract of every rule."""

from __future__ import annotations

import textwrap
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridrec.base import extensions
from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.reranking.rule_chain import Rule, active_rules, apply_rules, in_order
from hybridrec.rules import Kind
from tests.support import ROOT
from tests.support.made_lists import items_of, random_world

SEEDS = range(5)
RULES = active_rules(Config())
TOY = '''
"""Hide items whose number is odd."""
from hybridrec.rules import Kind

KIND = Kind.FILTER

def apply(ranked, context):
    return ranked[ranked["item_idx"] % 2 == 0]
'''


def pairs(frame: pd.DataFrame) -> set[tuple[int, int]]:
    return set(zip(frame.user_idx.tolist(), frame.item_idx.tolist(), strict=True))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_rule_does_only_what_its_kind_may(rule: Rule, seed: int) -> None:
    lists, context = random_world(seed)
    given = lists.copy()
    after = rule(lists, context)
    pd.testing.assert_frame_equal(lists, given)
    assert pairs(after) <= pairs(lists)
    if rule.kind.keeps_rows:
        assert pairs(after) == pairs(lists)
        assert np.isfinite(after.score).all()
    else:
        assert after.score.equals(lists.score[after.index])
        pd.testing.assert_frame_equal(rule(after, context), after)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_takes_an_empty_list(rule: Rule) -> None:
    lists, context = random_world(0)
    assert len(rule(lists.head(0), context)) == 0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_treats_each_user_alone(rule: Rule) -> None:
    lists, context = random_world(1)
    together = rule(lists, context)
    for user in lists.user_idx.unique():
        alone = rule(lists[lists.user_idx == user].reset_index(drop=True), context)
        assert items_of(alone, user) == items_of(together, user)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_rules_does_not_matter(seed: int) -> None:
    lists, context = random_world(seed)
    rules = [*RULES, Rule("another_boost", Kind.BOOST, _other_boost), Rule("another_cap", Kind.CAP, _other_cap)]
    expected = apply_rules(lists, context, rules)
    for order in list(permutations(rules))[::300]:
        pd.testing.assert_frame_equal(apply_rules(lists.sample(frac=1, random_state=seed), context, order), expected)


def test_a_filter_is_never_undone_by_later_kinds() -> None:
    lists, context = random_world(2)
    after = apply_rules(lists, context, RULES)
    available = context.items.is_available.to_numpy()
    assert available[after.item_idx].all()
    rows = np.searchsorted(context.users, after.user_idx)
    assert not context.seen.toarray()[rows, after.item_idx].any()


def test_a_rule_of_one_new_file_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "toy_even_only.py").write_text(textwrap.dedent(TOY))
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path))
    assert "toy_even_only" in extensions.names("rules")
    lists, context = random_world(3)
    after = apply_rules(lists, context, active_rules(Config()))
    assert len(after) > 0
    assert (after.item_idx % 2 == 0).all()


def test_options_reach_the_rule() -> None:
    lists, context = random_world(4)
    loose = apply_rules(lists, context, active_rules(Config(extension_options={"rules": {"category_cap": {"max_share": 1.0}}})))
    tight = apply_rules(lists, context, active_rules(Config(extension_options={"rules": {"category_cap": {"max_share": 0.2}}})))
    assert len(tight) < len(loose)


def test_a_rule_that_breaks_its_kind_is_named() -> None:
    lists, context = random_world(5)
    with pytest.raises(PermanentError, match=r"rule greedy: \d+ rows became \d+; a BOOST keeps every row"):
        apply_rules(lists, context, [Rule("greedy", Kind.BOOST, lambda ranked, context: ranked.head(1))])
    with pytest.raises(PermanentError, match=r"rule maker: .* a rule adds no rows"):
        apply_rules(lists, context, [Rule("maker", Kind.FILTER, lambda ranked, context: ranked.set_axis(ranked.index + 1000))])


def _other_boost(ranked: pd.DataFrame, context: object) -> pd.DataFrame:
    return ranked.assign(score=ranked.score + (ranked.item_idx % 3) * ranked.score.std())


def _other_cap(ranked: pd.DataFrame, context: object) -> pd.DataFrame:
    return ranked[ranked.groupby("user_idx").cumcount() < 5]


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_come_out_in_the_order_of_the_list(seed: int) -> None:
    lists, context = random_world(seed)
    for rows in (in_order(lists.sample(frac=1, random_state=seed)), in_order(lists), apply_rules(lists, context, RULES)):
        expected = rows.sort_values(["user_idx", "score", "item_idx"], ascending=[True, False, True], ignore_index=True)
        pd.testing.assert_frame_equal(rows, expected)
    pd.testing.assert_frame_equal(in_order(lists.sample(frac=1, random_state=seed)), lists)


def test_the_example_of_the_documentation_is_a_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "adding-a-rule.md").read_text()
    code = page.split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "promoted_boost.py").write_text(code)
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path))
    config = Config(extension_options={"rules": {"promoted_boost": {"strength": 100.0}}})
    rule = next(rule for rule in active_rules(config) if rule.name == "promoted_boost")
    lists, context = random_world(6)
    promoted = np.arange(len(context.items)) % 5 == 0
    context.items["is_promoted"] = promoted
    after = apply_rules(lists, context, [rule])
    for _, own in after[after.groupby("user_idx").score.transform("size") > 2].groupby("user_idx"):
        flags = promoted[own.item_idx]
        assert (np.diff(flags.astype(int)) <= 0).all(), "promoted items stand first"
