"""Waiting ends with the first true answer, or with the time."""

from __future__ import annotations

import pytest

from hybridrec.base.waiting import first_true


def test_the_first_true_answer_is_returned() -> None:
    answers: list[object] = [0, "", [], "up", "later"]
    assert first_true(lambda: answers.pop(0), 10, every=0.001) == "up"
    assert answers == ["later"]


@pytest.mark.parametrize(("seconds", "fewest", "most"), [(-1.0, 1, 1), (0.05, 2, 4)])
def test_the_last_false_answer_is_returned_when_the_time_is_over(seconds: float, fewest: int, most: int) -> None:
    asked: list[str] = []

    def ask() -> str:
        asked.append("asked")
        return ""

    assert first_true(ask, seconds, every=0.02) == ""
    assert fewest <= len(asked) <= most
