"""Contract of every base model; extensions are discovered, so a new model is tested as soon as it exists."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from hybridrec.base import extensions
from hybridrec.base.config import Config
from hybridrec.candidates.candidate_blocks import retrieves
from hybridrec.dataset.content import item_vectors
from hybridrec.retrieval.select import NOT_ELIGIBLE, contenders, leave_out, rank_pairs
from hybridrec.runs.run import Run
from hybridrec.training.fits import FIT_FILE, fit_model, load_fit, training_data
from hybridrec.types import NO_ITEM, BuildsIndex, Neighbours, PairScorer, Retriever, UserBlock
from tests.support.checkerboard import NEW_ITEM, SIDE, STRANGER, block, checkerboard

NAMES = extensions.names("models")
RETRIEVERS = tuple(name for name in NAMES if retrieves(name))
FIND_REPEATS = tuple(name for name in NAMES if "repeats" in getattr(extensions.module("models", name), "NEEDS", ()))
OTHER_SEEDS = (1, 2)


def best(model: PairScorer, users: UserBlock, k: int) -> Neighbours:
    """Return the model's own top k; for a pair scorer, the best of all unseen items."""
    if isinstance(model, Retriever):
        return model.top_k(users, k)
    n_users, n_items = users.history.shape
    rows, items = (cells.ravel().astype(np.int32) for cells in np.mgrid[:n_users, :n_items])
    scores = model.score_pairs(users, rows, items).reshape(n_users, n_items)
    scores = np.where(np.isnan(scores), NOT_ELIGIBLE, scores)
    leave_out(scores, users.history)
    pairs = contenders(scores, k)
    return rank_pairs(pairs, scores[pairs], n_users, k)


EVERYBODY = np.arange(SIDE + 1)
Fits = Callable[[str], tuple[PairScorer, Path]]
SecondFits = Callable[[str], tuple[PairScorer, Path, dict[str, float]]]


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fits]:
    """Provide each model fitted once on the checkerboard, as it is after a load, with its folder."""

    @cache
    def fit(name: str) -> tuple[PairScorer, Path]:
        folder = tmp_path_factory.mktemp(name)
        fit_model(name, checkerboard(), {}, folder)
        return load_fit(name, folder), folder

    yield fit


@pytest.fixture(scope="module")
def second_fits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondFits]:
    """Provide a second fit of each model, by two threads and after another global seed, with its folder and its metrics."""

    @cache
    def fit(name: str) -> tuple[PairScorer, Path, dict[str, float]]:
        module, folder = extensions.module("models", name), tmp_path_factory.mktemp(name)
        data = replace(checkerboard(), threads=2)
        np.random.seed(5)  # noqa: NPY002  a global seed must neither be used nor be needed
        fitted = module.Model(module.Config())
        metrics = fitted.fit(data)
        if isinstance(fitted, BuildsIndex):
            metrics |= fitted.build_index(data)
        fitted.save(folder)
        return fitted, folder, metrics

    yield fit


def is_personal(model: PairScorer) -> bool:
    """Return whether the model needs to know the user."""
    return bool((best(model, block(checkerboard(), np.array([STRANGER])), 3).items == NO_ITEM).all())


def only_reminds(model: PairScorer) -> bool:
    """Return whether the model offers nothing that its user does not know."""
    return bool((best(model, block(checkerboard(), EVERYBODY), 3).items == NO_ITEM).all())


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str) -> None:
    module: ModuleType = extensions.module("models", name)
    assert module.DOC and module.BECAUSE and isinstance(module.REQUIRED, bool) and module.__doc__
    assert module.BECAUSE.strip(" .") == module.BECAUSE and module.BECAUSE[0].islower(), "it completes a sentence"
    assert not hasattr(module, "NEEDS_REPEATS"), 'it is now NEEDS = ("repeats",)'
    with pytest.raises(AttributeError, match="cannot assign"):
        module.Config().anything = 1


@pytest.mark.parametrize("name", NAMES)
def test_finds_the_withheld_item(name: str, fits: Fits, tmp_path: Path) -> None:
    """For every user. The user that a network's fit misses depends on the processor's rounding: at most one, found with two other seeds."""
    model, _ = fits(name)
    if not is_personal(model):
        pytest.skip("the same for everybody: the checkerboard has no popular item")
    if only_reminds(model):
        pytest.skip("it retrieves what the user chose before")
    missed = ~finds(model)
    assert missed.sum() <= 1
    for seed in OTHER_SEEDS if missed.any() else ():
        (folder := tmp_path / str(seed)).mkdir()
        fit_model(name, replace(checkerboard(), seed=seed), {}, folder)
        assert finds(load_fit(name, folder))[missed].all()


def finds(model: PairScorer) -> np.ndarray:
    """Mark the users who get their withheld item."""
    found = best(model, block(checkerboard(), np.arange(SIDE)), 2)
    # item 40 is of the even group and new: by content alone it is as good an answer for even users
    return (found.items == np.arange(SIDE)[:, None]).any(axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_follows_the_seed_only(name: str, fits: Fits, second_fits: SecondFits) -> None:
    """To the byte, with more threads and another global seed."""
    (_, first), (_, second, metrics) = fits(name), second_fits(name)
    record = json.loads((first / FIT_FILE).read_text())
    assert record["metrics"] == metrics
    assert contents(first) == contents(second)


def contents(folder: Path) -> dict[str, bytes]:
    """Return bytes of each file of a model, besides the record of its fit."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != FIT_FILE]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", NAMES)
def test_loaded_model_answers_as_the_fitted_one(name: str, fits: Fits, second_fits: SecondFits) -> None:
    loaded, fitted = fits(name)[0], second_fits(name)[0]
    users = block(checkerboard(), EVERYBODY)
    rows, items = (cells.ravel().astype(np.int32) for cells in np.mgrid[: SIDE + 1, : SIDE + 1])
    np.testing.assert_array_equal(best(loaded, users, 7).items, best(fitted, users, 7).items)
    np.testing.assert_array_equal(loaded.score_pairs(users, rows, items), fitted.score_pairs(users, rows, items))


@pytest.mark.parametrize("name", NAMES)
def test_user_without_history(name: str, fits: Fits) -> None:
    model, _ = fits(name)
    stranger = block(checkerboard(), np.array([STRANGER]))
    found = best(model, stranger, 5)
    pairs = np.zeros(SIDE, dtype=np.int32), np.arange(SIDE, dtype=np.int32)
    scores = model.score_pairs(stranger, *pairs)
    if is_personal(model):
        assert (found.items == NO_ITEM).all() and np.isneginf(found.scores).all() and np.isnan(scores).all()
    else:
        assert (found.items != NO_ITEM).all() and np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_user_with_one_event_and_user_with_all(name: str, fits: Fits) -> None:
    model, _ = fits(name)
    histories = np.zeros((2, SIDE + 1), dtype=np.float32)
    histories[0, 6] = histories[1, :] = 1.0
    history, reminds = csr_array(histories), only_reminds(model)
    had = csr_array(np.where([[False], [True]] if reminds else True, histories, 0))
    found = best(model, UserBlock(np.array([4, 8], dtype=np.int32), history, np.ones(history.nnz, np.float32), had), SIDE + 1)
    offered = found.items[0] != NO_ITEM
    assert offered.any() and np.isfinite(found.scores[0, offered]).all() and (6 in found.items[0]) == reminds
    assert (found.items[1] == NO_ITEM).all(), "there is nothing left to offer"


@pytest.mark.parametrize("name", NAMES)
def test_item_without_events(name: str, fits: Fits) -> None:
    model, _ = fits(name)
    users = block(checkerboard(), np.arange(SIDE))
    scores = model.score_pairs(users, np.arange(SIDE, dtype=np.int32), np.full(SIDE, NEW_ITEM, dtype=np.int32))
    offered = (best(model, users, SIDE + 1).items == NEW_ITEM).any(axis=1)
    assert np.isfinite(scores[offered]).all(), "what is offered has a score"
    assert not np.isinf(scores).any()


@pytest.mark.parametrize("name", NAMES)
def test_empty_block(name: str, fits: Fits) -> None:
    model, _ = fits(name)
    nobody = block(checkerboard(), np.zeros(0, dtype=np.int64))
    none = np.zeros(0, dtype=np.int32)
    assert best(model, nobody, 4).items.shape == (0, 4)
    assert model.score_pairs(nobody, none, none).shape == (0,)
    assert len(model.score_pairs(block(checkerboard(), EVERYBODY), none, none)) == 0


@pytest.mark.parametrize("name", RETRIEVERS)
@pytest.mark.parametrize("k", [1, 5, 1000])
def test_lists_are_unseen_sorted_and_padded(name: str, k: int, fits: Fits) -> None:
    model, _ = fits(name)
    users = block(checkerboard(), EVERYBODY)
    found = best(model, users, k)
    assert found.items.shape == found.scores.shape == (SIDE + 1, k)
    assert found.items.dtype == np.int32 and found.scores.dtype == np.float32
    for row, (items, scores) in enumerate(zip(found.items, found.scores, strict=True)):
        n_items = np.count_nonzero(items != NO_ITEM)
        assert (items[n_items:] == NO_ITEM).all() and np.isneginf(scores[n_items:]).all(), "padding comes last"
        seen = set(users.history[[row]].indices)
        assert not seen & set(items[:n_items]), "never a seen item"
        assert len(set(items[:n_items])) == n_items, "no item twice"
        order = np.lexsort((items[:n_items], -scores[:n_items]))
        np.testing.assert_array_equal(order, np.arange(n_items), err_msg="score falls, ties by item")


@pytest.mark.parametrize("name", RETRIEVERS)
@pytest.mark.parametrize("again", [False, True])
def test_only_who_finds_repeats_returns_the_history(name: str, again: bool, fits: Fits) -> None:
    """And never what the user has had: here every second item of the history, or all."""
    model, _ = fits(name)
    users = block(checkerboard(), EVERYBODY)
    kept = (np.arange(users.history.nnz) % 2 == 0) | (not again)
    cells = np.repeat(np.arange(SIDE + 1), np.diff(users.history.indptr))[kept], users.history.indices[kept]
    had = csr_array((np.ones(int(kept.sum()), np.float32), cells), shape=users.history.shape)
    found = best(model, replace(users, had=had), SIDE + 1)
    offered = np.zeros(had.shape, dtype=bool)
    rows, places = np.nonzero(found.items != NO_ITEM)
    offered[rows, found.items[rows, places]] = True
    assert not (offered & (had.toarray() > 0)).any()
    assert (offered & (users.history.toarray() > 0)).any() == (again and name in FIND_REPEATS)


@pytest.mark.parametrize("name", RETRIEVERS)
def test_pair_scores_are_the_lists_scores(name: str, fits: Fits) -> None:
    model, _ = fits(name)
    users = replace(block(checkerboard(), EVERYBODY), had=csr_array(np.zeros((SIDE + 1, SIDE + 1), dtype=np.float32)))
    found = best(model, users, 12)
    rows, places = np.nonzero(found.items != NO_ITEM)
    scores = model.score_pairs(users, rows.astype(np.int32), found.items[rows, places])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, found.scores[rows, places], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_users_list_does_not_depend_on_the_others(name: str, fits: Fits) -> None:
    model, _ = fits(name)
    whole = best(model, block(checkerboard(), EVERYBODY), 6)
    some = np.array([17, 3, STRANGER])
    np.testing.assert_array_equal(best(model, block(checkerboard(), some), 6).items, whole.items[some])
    exact = 0 if isinstance(model, Retriever) else 1e-5  # the last bits of a network's product change with the block's shape
    np.testing.assert_allclose(best(model, block(checkerboard(), some), 6).scores, whole.scores[some], rtol=exact, atol=exact)


@pytest.mark.parametrize("name", NAMES)
def test_not_below_popularity_on_the_small_world(name: str, small_run: Run, fits: Fits, tmp_path: Path) -> None:
    labels = small_run.read("model_labels", "holdout").to_pandas()
    data = training_data(small_run, "holdout", name)
    described = item_vectors(data.items).toarray()  # the small world's catalogue has no vectors of its own
    data = replace(data, item_vectors=lambda: described)
    recall = {}
    if only_reminds(fits(name)[0]):
        pytest.skip("it retrieves what the user chose before, and users of the small world choose nothing again")
    for rival in ("popularity", name):
        (tmp_path / rival).mkdir(exist_ok=True)
        fit_model(rival, data, {}, tmp_path / rival)
        known = np.flatnonzero(np.diff(data.matrix.indptr))
        found = best(load_fit(rival, tmp_path / rival), block(data, known), 10).items
        offered = {(user, item) for user, items in zip(known, found, strict=True) for item in items}
        relevant = labels[labels.user_idx.isin(known)]
        recall[rival] = np.mean([pair in offered for pair in zip(relevant.user_idx, relevant.item_idx, strict=True)])
    assert recall[name] >= recall["popularity"] - 0.05
    assert recall[name] > 0.2


TOY = '''
"""A model of one line: the item number is the score. For tests."""
from dataclasses import dataclass
import numpy as np
from hybridrec.retrieval.order import first_unseen

DOC, BECAUSE, REQUIRED = "Newest number first.", "its number is high", False

@dataclass(frozen=True)
class Config:
    slope: float = 1.0

class Model:
    def __init__(self, config): self.config = config
    def fit(self, data):
        self.scores = self.config.slope * np.arange(data.matrix.shape[1], dtype=np.float32)
        return {}
    def top_k(self, users, k): return first_unseen(self.scores, users.history, k)
    def score_pairs(self, users, rows, items): return self.scores[items]
    def save(self, folder): np.save(folder / "scores.npy", self.scores)
    @classmethod
    def load(cls, folder, config):
        model = cls(config)
        model.scores = np.load(folder / "scores.npy", mmap_mode="r", allow_pickle=False)
        return model
'''


@pytest.fixture
def toy(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Provide a model added by one file outside the package."""
    folder = tmp_path / "extension" / "models"
    folder.mkdir(parents=True)
    (folder / "toy_newest.py").write_text(TOY)
    monkeypatch.setenv("HYBRIDREC_EXTENSIONS", str(folder.parent))
    yield "toy_newest"
    sys.modules.pop("hybridrec.models.toy_newest", None)


def test_a_model_is_added_by_one_file(toy: str) -> None:
    from hybridrec.candidates.candidate_blocks import candidate_batches, choose_models, fitted_models
    from jobs import train_model
    from tests.support import small_world

    run = small_world.make_run(config=Config(extension_options={"models": {toy: {"slope": 2}}}))
    assert toy in extensions.names("models")
    run = Run(replace(run.manifest, models=("popularity", toy)), run.settings)
    for split in run.manifest.splits:
        for name in run.manifest.models:
            train_model.main(train_model.Params("small", name, split))
    choice = choose_models(run)
    assert choice.used == ("popularity", toy) and not choice.missing
    batches = candidate_batches(history_batches(run, "full"), fitted_models(run, "full", choice.used))
    candidates = pd.concat(batch.to_pandas() for batch in batches)
    assert (candidates[f"score_{toy}"] == 2 * candidates.item_idx).all()


def history_batches(run: Run, split: str) -> list[pa.RecordBatch]:
    """Return all users' histories as Spark hands them to a worker."""
    pairs = run.read("model_interactions", split).to_pandas().sort_values(["user_idx", "item_idx"])
    pairs["days"] = (run.split(split).cut - pairs.last_event_at).dt.total_seconds() / 86_400
    lists = pairs.groupby("user_idx").agg(items=("item_idx", list), weights=("weight", list), days=("days", list)).reindex(range(60))
    columns = {
        "user_idx": pa.array(range(60), pa.int32()),
        "items": pa.array(lists["items"], pa.list_(pa.int32()), from_pandas=True),
        "weights": pa.array(lists["weights"], pa.list_(pa.float32()), from_pandas=True),
        "days": pa.array(lists["days"], pa.list_(pa.float32()), from_pandas=True),
    }
    return [pa.record_batch(columns)]
