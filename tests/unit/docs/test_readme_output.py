"""Compare output with the README's blocks: numbers, ids and paths may differ, words may not."""

from __future__ import annotations

import re

import pytest

from tests.support.readme_output import blocks, require_same


def test_another_night_of_the_same_form_is_accepted() -> None:
    shown = blocks()["make run"]
    require_same(shown, [re.sub(r"11-30t", "12-01t", line.replace("362 s", "5 s").replace("and 11 more", "and 9 more")) for line in shown])


@pytest.mark.parametrize(
    ("old", "new"), [("Trainspotting", "Alien"), ("success", "failed"), ("published version", "version"), ("score", "value")]
)
def test_another_word_is_noticed(old: str, new: str) -> None:
    shown = blocks()["make run"]
    with pytest.raises(AssertionError, match="the README shows"):
        require_same(shown, [line.replace(old, new) for line in shown])
