"""The cost model of a night: what is fitted, what is left out, what the page says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cost_model, growth
from benchmarks.cost_model import STAGES, Line
from benchmarks.growth import SIZES, stage_of
from benchmarks.night import Cost, WorldCost


def night(name: str, bent: float = 0.0) -> dict[str, object]:
    """Build a record in which every stage takes 5 s and 2 s per million units, and `bent` s more."""
    seconds = {stage: 5 + 2e-6 * kind.unit.count(SIZES[name]) + bent for stage, kind in STAGES.items()}
    return {"seconds": seconds | {"start_spark": 4.0}, "peak_mib": dict.fromkeys(seconds, 100), "peak_together_mib": 5_000}


def test_folds_of_a_stage_are_one_and_parts_stay_apart() -> None:
    assert stage_of("train_model.als.ranker") == stage_of("train_model.als.full") == "train_model.als"
    assert stage_of("core_events.clean_table") == "core_events.clean_table"


def test_what_nights_cost_is_kept_by_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(growth, "RECORD", tmp_path / "growth.json")
    growth.RECORD.write_text(json.dumps({"3m": night("3m")}))
    tasks = (
        Cost("train_model.als.ranker", 2.0, peak_mib=50.0),
        Cost("train_model.als.holdout", 3.0, peak_mib=80.0),
        Cost("stop_spark", 1.0),
    )
    growth.keep("1m", WorldCost(tasks, 900.4))
    kept = json.loads(growth.RECORD.read_text())
    assert set(kept) == {"1m", "3m"} and kept["1m"]["n_events"] == 1_000_000 and kept["1m"]["peak_together_mib"] == 900
    assert kept["1m"]["seconds"] == {"train_model.als": 5.0, "stop_spark": 1.0} and kept["1m"]["peak_mib"]["train_model.als"] == 80


def test_a_line_goes_through_both_nights_and_is_never_below_nothing() -> None:
    assert Line.through((1.0, 7.0), (10.0, 25.0)) == Line(5.0, 2.0)
    assert Line.through((1.0, 7.0), (10.0, 5.0)) == Line(6.0, 0.0)
    assert Line.through((1.0, 1.0), (10.0, 40.0)) == Line(0.0, 4.0)


def test_the_left_out_night_is_predicted_and_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = {name: night(name) for name in ("1m", "10m")} | {"3m": night("3m", bent=1.0)}
    monkeypatch.setattr(cost_model, "RECORD", tmp_path / "growth.json")
    monkeypatch.setattr(cost_model, "PAGE", tmp_path / "scale.md")
    cost_model.RECORD.write_text(json.dumps(record))  # type: ignore[attr-defined]
    lines = cost_model.fit(record)  # type: ignore[arg-type]
    assert cost_model.total(lines, SIZES["3m"], lines) == pytest.approx(sum(night("3m")["seconds"].values()))  # type: ignore[attr-defined]
    cost_model.main()
    page = cost_model.PAGE.read_text()
    assert "{{" not in page and "| rank_candidates | 5.0 s | 2.0 s | users x candidates |  | 34 s, 35 s |" in page
    assert "ratio 0.89" in page and "executors of 8 cores" in page


def test_what_a_large_catalogue_takes_above_the_line_is_its_items(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = {name: night(name) for name in ("1m", "3m", "10m", "200k_items", "1m_items")}
    fitted = {stage: seconds for stage, seconds in record["1m"]["seconds"].items() if stage != "train_model.sequence_knn"}  # type: ignore[attr-defined]
    record["1m"]["seconds"] = fitted
    wide = record["1m_items"]["seconds"]
    wide["build_features"] += 30.0  # type: ignore[index]
    lines = cost_model.fit(record)  # type: ignore[arg-type]
    assert lines["build_features"].per_item == pytest.approx(30e-6) and lines["rank_candidates"].per_item == pytest.approx(0, abs=1e-9)
    assert cost_model.seconds_at("build_features", lines["build_features"], SIZES["1m_items"]) == pytest.approx(wide["build_features"])  # type: ignore[index]
    assert lines["train_model.content_attributes"].rate == pytest.approx(2e-6)
    assert lines["train_model.sequence_knn"] == Line(pytest.approx(5.0), pytest.approx(2e-6)), "of the large catalogues alone"  # type: ignore[arg-type]
    monkeypatch.setattr(cost_model, "RECORD", tmp_path / "growth.json")
    monkeypatch.setattr(cost_model, "PAGE", tmp_path / "scale.md")
    cost_model.RECORD.write_text(json.dumps(record))  # type: ignore[attr-defined]
    cost_model.main()
    page = cost_model.PAGE.read_text()
    assert "5 M events, 1,000,000 items" in page and "| build_features | 5.0 s | 2.0 s | events | 30.0 s |" in page
