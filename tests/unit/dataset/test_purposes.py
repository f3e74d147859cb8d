"""Items count as had by what the data show and by options."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.config import FOR_EVER, Config
from hybridrec.splitting import purposes

START = datetime(2026, 1, 1, tzinfo=UTC)
CUT, END = START + timedelta(days=10), START + timedelta(days=20)
EARLY, LATE = 1, 15
Event = tuple[str, str, str, int]


def written(path: Path, events: list[Event]) -> list[str]:
    users, items, types, days = zip(*events, strict=True)
    columns = {"user_id": users, "item_id": items, "event_type": types, "rating": pa.nulls(len(events), pa.float32())}
    at = pa.array([START + timedelta(days=day) for day in days], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(columns | {"event_at": at}), path / "events.parquet")
    return [str(path / "events.parquet")]


def resolved(path: Path, events: list[Event], config: Config | None = None) -> dict[str, float]:
    return purposes.settled(config or Config(), written(path, events), len(events), (CUT, END), consumables=False).config.had_days


def shop(n_again: int) -> list[Event]:
    """Return a shop in which ten users buy what they have viewed, n_again of them something that they have bought."""
    events = []
    for n in range(10):
        user = f"u{n}"
        events += [(user, "old", "purchase", EARLY), (user, "looked", "view", EARLY), (user, "looked", "purchase", LATE)]
        events.append((user, "old" if n < n_again else f"new{n}", "purchase", LATE))
    return events


def test_who_buys_what_was_viewed_has_not_had_it(tmp_path: Path) -> None:
    days = resolved(tmp_path, shop(0))
    assert days["view"] == 0 and days["purchase"] == FOR_EVER


def test_who_buys_again_has_not_had_it(tmp_path: Path) -> None:
    days = resolved(tmp_path, shop(5))
    assert days["view"] == 0 and days["purchase"] == 0
    assert resolved(tmp_path, shop(5), Config(repeat_share=0.3))["purchase"] == FOR_EVER, "five of twenty"


def test_without_repeats_everything_is_had_for_ever(tmp_path: Path) -> None:
    events = [(f"u{n}", f"i{day}", "rating", day) for n in range(5) for day in (EARLY, LATE)]
    assert set(resolved(tmp_path, events).values()) == {FOR_EVER}


def test_newcomers_say_nothing_about_repeats(tmp_path: Path) -> None:
    """Their choices are all new, however many they are."""
    newcomers = [(f"n{n}", "first", "purchase", LATE) for n in range(1_000)]
    assert resolved(tmp_path, shop(5) + newcomers)["purchase"] == 0


def test_what_comes_behind_the_window_is_not_looked_at(tmp_path: Path) -> None:
    """Neither as a choice nor as what came before one."""
    later = [(user, item, "purchase", 30) for user, item, _, _ in shop(0)]
    assert resolved(tmp_path, shop(0) + later)["purchase"] == FOR_EVER


def test_an_option_goes_first(tmp_path: Path) -> None:
    named = Config(had_days={"purchase": 30.0, "view": FOR_EVER})
    days = resolved(tmp_path, shop(5), named)
    assert (days["purchase"], days["view"]) == (30.0, FOR_EVER)


@pytest.mark.parametrize("split", ["last_per_user", "random_per_user"])
def test_without_a_calendar_a_pair_is_history_or_label(tmp_path: Path, split: str) -> None:
    assert set(resolved(tmp_path, shop(5), Config(split=split)).values()) == {FOR_EVER}  # type: ignore[arg-type]


def test_large_data_are_sampled_by_user(tmp_path: Path) -> None:
    events = [(f"u{n}", "old", "purchase", day) for n in range(2_000) for day in (EARLY, LATE)]
    shares = purposes.repeat_shares(Config(), written(tmp_path, events), 7, CUT, END)
    assert shares == {"purchase": 1.0}


@pytest.mark.parametrize(
    ("days", "consumables", "categories", "again"),
    [
        ({"purchase": FOR_EVER, "view": FOR_EVER}, False, [], False),
        ({"purchase": FOR_EVER, "view": 0.0}, False, [], True),
        ({"purchase": 30.0}, False, [], True),
        ({"purchase": FOR_EVER}, True, [], True),
        ({"purchase": FOR_EVER}, False, ["Milk"], True),
    ],
)
def test_when_lists_may_hold_the_history(days: dict[str, float], consumables: bool, categories: list[str], again: bool) -> None:
    config = Config(had_days=dict.fromkeys(Config().had_days, FOR_EVER) | days, consumable_categories=categories)
    assert purposes.may_come_again(config, consumables) is again


def test_a_type_without_weight_says_nothing() -> None:
    weights = Config().event_weights | {"view": 0.0}
    config = Config(had_days=dict.fromkeys(Config().had_days, FOR_EVER) | {"view": 0.0}, event_weights=weights)
    assert not purposes.may_come_again(config, consumables=False)
    assert "view" not in purposes.label_types(config)
    assert purposes.label_types(Config(label_types=["purchase"])) == ("purchase",)
