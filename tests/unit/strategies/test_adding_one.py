"""The documentation's example is a strategy: one file, found by name, judged beside the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hybridrec.base import extensions
from hybridrec.runs.run import Run
from jobs import evaluate, train_ranker
from tests.support import ROOT, made_candidates

DOCS = ROOT / "docs" / "adding-a-strategy.md"


@pytest.fixture
def extension(tmp_path: Path, small_run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a folder of extensions with the page's example in it."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    path = tmp_path / "more" / "strategies" / "best_rank.py"
    path.parent.mkdir(parents=True)
    path.write_text(code)
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path / "more"))
    return path


def test_the_example_is_judged(extension: Path, small_run: Run) -> None:
    assert "best_rank" in extensions.names("strategies")
    run = made_candidates.add_candidates(small_run)
    train_ranker.main(train_ranker.Params(run.run_id))
    evaluate.main(evaluate.Params(run.run_id))
    metrics = run.read("out_metrics").to_pandas()
    figures = metrics[(metrics.name == "best_rank") & (metrics.segment == "all")].set_index("metric").value
    assert figures["ndcg@10"] > 0.3
    compared = run.read("out_comparisons").to_pandas()
    assert {("best_rank", "stacking"), ("best_rank", "popularity")} <= set(zip(compared.name, compared.against, strict=True))
