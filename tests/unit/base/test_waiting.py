"""Waiting ends with the first true answer, or with the time."""

from __future__ import annotations

from hybridrec.base.waiting import first_true


def test_the_first_true_answer_is_returned() -> None:
    answers = iter([0, "", [], "up", "later"])
    assert first_true(lambda: next(answers), 10, every=0.001) == "up"
    assert next(answers) == "later"


def test_the_last_false_answer_is_returned_when_the_time_is_over() -> None:
    asked: list[int] = []
    assert first_true(lambda: asked.append(1), 0.05, every=0.02) is None
    assert 2 <= len(asked) <= 4
    assert first_true(asked.clear, 0, every=1) is None and asked == [], "asked at least once"
