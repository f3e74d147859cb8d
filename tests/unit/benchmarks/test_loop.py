"""The claims about the closed loop are printed, and hold as far as this machine can measure them."""

from __future__ import annotations

import os

import pytest

from benchmarks.loop import __main__ as loop
from benchmarks.loop import experiments
from benchmarks.loop._needs import Missing, feedback_data
from benchmarks.measure import Claim

needs_data = pytest.mark.skipif(not os.environ.get("HYBRIDREC_BENCH"), reason="HYBRIDREC_BENCH names no folder of data sets for checks")


def test_a_claim_of_at_most_is_short_above_its_bar() -> None:
    assert Claim("an_error", 0.0015, 0.001, at_most=True).value_text() == "claim an_error value 0.0015 bar 0.001 short"
    assert Claim("an_error", 0.001, 0.001, at_most=True).verdict == "ok"
    assert Claim("a_share", 0.6947, 0.65).value_text() == "claim a_share value 0.6947 bar 0.65 ok"
    assert Claim("an_error", float("nan"), 0.001, at_most=True).verdict == "short"


def test_modules_of_claims_are_found() -> None:
    assert "experiments" in loop.NAMES
    assert not any(name.startswith("_") for name in loop.NAMES)


def test_without_the_data_a_claim_is_left_out_and_the_others_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYBRIDREC_BENCH", "")
    claims = experiments.claims()
    assert [claim.name for claim in claims if claim.verdict == "short"] == []
    assert {"gst_bounds", "aa_false_alarms", "gst_power"} <= {claim.name for claim in claims}
    assert "left out: upworthy: HYBRIDREC_BENCH is '', expected a folder with feedback/upworthy.parquet" in capsys.readouterr().err
    with pytest.raises(Missing):
        feedback_data("cookie_cats")


@needs_data
def test_known_answers_of_real_experiments() -> None:
    found = {claim.name: claim.verdict for claim in experiments.claims()}
    assert {found[name] for name in ("srm_upworthy_inside", "srm_upworthy_outside", "cookie_cats_ratio", "cookie_cats_p")} == {"ok"}
