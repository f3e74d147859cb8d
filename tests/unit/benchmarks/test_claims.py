"""The output of the benchmarks is read back and shown unchanged."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks import __main__ as everything
from benchmarks.measure import Claim, in_turns, machine


def test_a_claim_says_whether_it_holds() -> None:
    assert Claim("a_vs_b", 2.0, 2.0).text() == "claim a_vs_b ratio 2.00 bar 2.00 ok"
    assert Claim("a_vs_b", 1.4, 1.5).text() == "claim a_vs_b ratio 1.40 bar 1.50 short"
    assert Claim("a_vs_b", 0.699, 0.7).text() == "claim a_vs_b ratio 0.69 bar 0.70 short"
    assert Claim("a_vs_b", 0.29, 0.29).text() == "claim a_vs_b ratio 0.29 bar 0.29 ok"


def test_steps_take_turns_and_the_median_counts() -> None:
    order: list[str] = []
    pauses = iter([0, 0.2, 0, 0])

    def slow() -> None:
        order.append("slow")
        time.sleep(next(pauses))

    seconds = in_turns({"slow": slow, "fast": lambda: order.append("fast")}, rounds=3)
    assert order == ["slow", "fast"] * 4, "once to warm up"
    assert seconds["slow"] < 0.1, "one of three that was disturbed does not count"


def test_the_page_holds_what_was_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = everything.Part("topk", "Exact.", "a table\nclaim topk_vs_x ratio 2.50 bar 1.00 ok\nclaim y ratio 0.40 bar 0.80 short\n")
    assert part.claims == [Claim("topk_vs_x", 2.5, 1.0), Claim("y", 0.4, 0.8)]
    page = everything.page([part])
    assert "| `y` | 0.40 | 0.80 | short |" in page and "a table" in page
    assert everything.parts_of(page) == {"topk": everything.Part("topk", "Exact.", part.output.strip())}, (
        "so that one may be run again alone"
    )
    monkeypatch.setattr(everything, "PLOT", tmp_path / "plot.svg")
    everything.draw(part.claims)
    drawn = (tmp_path / "plot.svg").read_text()
    assert all(text in drawn for text in ("topk_vs_x", "2.50", "0.40", "asked for"))
    assert "numpy 2" in machine("numpy")
