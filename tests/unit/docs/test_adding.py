"""The examples of docs/adding-a-*.md are found by their file names and do what the pages say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hybridrec.base import extensions
from hybridrec.base.settings import Settings
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.rules import Kind
from hybridrec.runs.run import Run
from hybridrec.training import fits
from tests.support import ROOT

PAGES = sorted((ROOT / "docs").glob("adding-a-*.md"))


@pytest.fixture
def documented(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Write the pages' examples into an extension folder; names by folder."""
    found = {}
    for page in PAGES:
        for code in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
            match = re.match(r"# (\w+)/(\w+)\.py\n", code)
            assert match, f"a block of {page.name} does not begin with its file's name: {code[:40]!r}"
            path = tmp_path / "extensions" / match[1] / f"{match[2]}.py"
            path.parent.mkdir(parents=True)
            path.write_text(code)
            found[match[1]] = match[2]
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(tmp_path / "extensions"))
    return found


def test_every_kind_of_member_is_shown_and_found(documented: dict[str, str]) -> None:
    assert set(documented) == {"models", "strategies", "rules", "sources"}
    for folder, name in documented.items():
        assert extensions.module(folder, name).DOC


def test_the_model_fits_and_saves(documented: dict[str, str], small_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    fits.fit_model(documented["models"], fits.training_data(small_run, "full"), {}, folder)
    module = extensions.module("models", documented["models"])
    block = fits.user_block(small_run, "full", np.array([3, 58], dtype=np.int32))
    found = module.Model.load(folder, module.Config()).top_k(block, 5)
    assert found.items.shape == (2, 5)
    assert not set(found.items[0]) & set(block.history[[0]].indices)


def test_the_strategy_scores(documented: dict[str, str]) -> None:
    module = extensions.module("strategies", documented["strategies"])
    features = {"rank_als": np.array([1, np.nan, 9], np.float32), "rank_popularity": np.array([3, 2, 1], np.float32)}
    pool = CandidateSet(np.array([0]), np.array([0, 3]), np.array([5, 6, 7]), np.array([4]), features)
    assert module.Strategy(module.Config()).score(pool).tolist() == [-1, -12, -9]  # popularity has a handicap of 10


def test_the_rule_raises_promoted_items(documented: dict[str, str]) -> None:
    import pandas as pd

    module = extensions.module("rules", documented["rules"])
    items = pd.DataFrame({"is_promoted": [False, True, False]})
    ranked = pd.DataFrame({"user_idx": [0, 0, 0], "item_idx": np.array([0, 1, 2], np.int32), "score": [3.0, 2.0, 1.0]})
    raised = module.apply(ranked, type("Context", (), {"items": items}), module.Config(strength=2.0))
    assert raised["score"].tolist() == [3.0, 4.0, 1.0]
    assert module.KIND in Kind


def test_the_source_lands(documented: dict[str, str], home: Path) -> None:
    from datetime import UTC, datetime

    from hybridrec.ingest.landing import count_rows, land

    landed = land(Settings.from_env(), documented["sources"], 1, datetime(2026, 1, 3, tzinfo=UTC))
    assert count_rows(landed.files("events")) == 3
