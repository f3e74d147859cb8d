"""Share of bad rows in a delivery above which the table stays unchanged."""

from __future__ import annotations

import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.ingest.cleaning import REPEATED, ROBOT, UNKNOWN, require_mostly_good

MISSING = "user_id is missing"


@pytest.mark.parametrize(
    ("reasons", "share"),
    [
        ({"": 5, MISSING: 5}, 0.1),  # half of a few
        ({"": 950, MISSING: 100}, 0.1),
        ({"": 600, UNKNOWN: 500}, 0.1),  # a history is longer than a catalogue
        ({"": 100, REPEATED: 5_000, f"{ROBOT}: many": 9_000}, 0.1),
        ({"": 200, MISSING: 1_800}, 0.9),
        ({"": 10}, 0.0),
    ],
)
def test_enough_is_good(reasons: dict[str, int], share: float) -> None:
    require_mostly_good("core_events", reasons, share)


@pytest.mark.parametrize(
    ("reasons", "share", "limit"),
    [
        ({"": 4, MISSING: 5}, 0.1, 50),
        ({"": 1_000, MISSING: 120}, 0.1, 10),
        ({"": 600, UNKNOWN: 700}, 0.1, 50),
        ({REPEATED: 9}, 0.1, 50),
        ({"": 9, MISSING: 1}, 0.0, 0),
        ({"": 9, UNKNOWN: 1}, 0.0, 0),
    ],
)
def test_too_much_is_bad(reasons: dict[str, int], share: float, limit: int) -> None:
    with pytest.raises(PermanentError, match=f"core_events: .* rows are bad .*at most {limit}% bad ones; the table stays as it was"):
        require_mostly_good("core_events", reasons, share)
