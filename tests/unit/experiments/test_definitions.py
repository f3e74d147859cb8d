"""Files of experiments: a good one is read, and each fault gets a sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hybridrec.assignment.variants import CONTROL
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.experiments.definitions import Definition, definition_of, read_definition, require_no_overlap, require_not_past

GOOD = """
hypothesis = "Without MMR people click more"
outcome = "clicks"
minimum_effect = 0.03
horizon_days = 14
start = 2026-12-01
[guardrails]
reward = 0.01
[variants.control]
share = 0.5
[variants.no_mmr]
share = 0.5
strategy = "weighted"
k = 10
without_rules = ["mmr"]
rules.category_cap.max_share = 0.3
"""
NOW = datetime(2026, 12, 1, 23, 30, tzinfo=UTC)


def read(home: Path, text: str, name: str = "mmr") -> Definition:
    folder = home / "experiments"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(text)
    return read_definition(name, Settings.from_env())


def test_a_good_file_says_all_that_a_night_needs(home: Path) -> None:
    definition = read(home, GOOD)
    running = definition.running("mmr", "running")
    assert [(variant.name, variant.share, variant.differs) for variant in running.variants] == [
        (CONTROL, 0.5, False),
        ("no_mmr", 0.5, True),
    ]
    assert (running.salt, running.variants[1].strategy, running.variants[1].k) == ("mmr", "weighted", 10)
    canary = definition.running("mmr", "canary")
    assert [variant.share for variant in canary.variants] == [0.5, 0.05]
    assert definition_of(definition.model_dump(mode="json"), "") == definition


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("share = 0.5\nstrategy", "share = 0.6\nstrategy"), r"shares add up to 1\.1, which is more than all users"),
        (
            ("[variants.control]\nshare = 0.5", "[variants.control]\nshare = 0.3\n[variants.other]\nshare = 0.2\nk = 5"),
            r"no_mmr has the share 0\.5; with 3 variants each may grow to 0\.333",
        ),
        (("k = 10", "kk = 10"), "there is no option 'variants.no_mmr.kk'; did you mean k?"),
        (
            ("minimum_effect", "minimal_effect"),
            "there is no option 'minimal_effect'; did you mean minimum_effect",
        ),
        (("k = 10", "k = 0.5"), "variants.no_mmr.k is 0.5: input should be a valid integer"),
        (("k = 10", "k = 1000"), "variants.no_mmr.k is 1000: input should be less than or equal to 200"),
        (('"weighted"', '"weigthed"'), "there is no strategy 'weigthed'; did you mean weighted?"),
        (('["mmr"]', '["nnr"]'), "there is no rule 'nnr'"),
        (('["mmr"]', '["seen"]'), "no list may do without out_of_stock and seen"),
        (("category_cap.max_share", "category_cap.most"), "there is no option 'most'"),
        (('outcome = "clicks"', 'outcome = "sales"'), "there is no outcome 'sales'; choose from"),
        (("reward = 0.01", "clicks = 0.01"), "guardrails names clicks, which is the outcome that decides"),
        (("start = ", 'salt = "layers"\nstart = '), "salt is 'layers', by which layers are made"),
        (("reward = 0.01", "reward = 1.5"), "guardrails.reward is 1.5, expected the share"),
        (("[variants.control]\nshare = 0.5", ""), "expected 'control' and at least one other"),
        (("[variants.control]\nshare = 0.5", "[variants.control]\nshare = 0.5\nk = 5"), "the control has the night's own lists"),
        (("horizon_days = 14", "horizon_days = 14\npart = [0.5, 0.5]"), "part is .*, expected from and to"),
        (("horizon_days = 14", 'horizon_days = 14\nunit = "session"'), "unit is 'session': input should be 'user'"),
        (("hypothesis = ", "hypothesis : "), "cannot be read as TOML"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_fault_gets_a_sentence_that_names_it(home: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(PermanentError, match=message) as caught:
        read(home, GOOD.replace(*change))
    assert "mmr.toml" in str(caught.value)


def test_more_than_four_variants_and_one_without_a_difference_are_refused(home: Path) -> None:
    many = "".join(f"[variants.v{number}]\nshare = 0.1\nk = {number}\n" for number in range(1, 4))
    assert len(read(home, GOOD.replace("share = 0.5", "share = 0.2") + many.split("[variants.v3]")[0]).variants) == 4
    with pytest.raises(PermanentError, match="it has 5 variants, at most 4 are compared"):
        read(home, GOOD.replace("share = 0.5", "share = 0.2") + many)
    with pytest.raises(PermanentError, match="no option differs from the control"):
        read(home, GOOD.split("strategy =", maxsplit=1)[0])


def test_a_name_without_a_file_says_which_there_are(home: Path) -> None:
    read(home, GOOD)
    with pytest.raises(PermanentError, match=r"did you mean mmr[?]"):
        read_definition("mmrs", Settings.from_env())
    for name in ("../mmr", "aa", "Upper"):
        with pytest.raises(PermanentError, match="lower-case letters"):
            read_definition(name, Settings.from_env())


def test_a_start_in_the_past_is_refused_and_today_is_not(home: Path) -> None:
    definition = read(home, GOOD)
    require_not_past(definition, "experiment mmr", NOW)
    with pytest.raises(PermanentError, match="start is 2026-12-01, which is in the past; give a day from 2026-12-02 on"):
        require_not_past(definition, "experiment mmr", NOW.replace(day=2))


def test_experiments_with_the_same_users_are_refused(home: Path) -> None:
    first = read(home, GOOD.replace("horizon_days", "part = [0.0, 0.5]\nhorizon_days"))
    second = read(home, GOOD.replace("horizon_days", "part = [0.5, 1.0]\nhorizon_days"))
    require_no_overlap("second", second, {"first": first, "second": second}, "experiment second")
    with pytest.raises(PermanentError, match="it overlaps with the experiment first"):
        require_no_overlap("mmr", read(home, GOOD), {"second": second, "first": first}, "experiment mmr")
