"""A run's manifest and tables, on a disk and on an object store."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.runs.run import Input, Run
from tests.support import small_world


@pytest.fixture(params=["disk", "s3"])
def small_run(request: pytest.FixtureRequest, home: Path) -> Run:
    """Provide the small world's run; with an object store this machine's disk is empty."""
    if request.param == "s3":
        request.getfixturevalue("object_storage")
    run = small_world.make_run()
    if "HYBRIDREC_STORAGE" in os.environ:
        shutil.rmtree(home)
    return run


def test_small_run_reads_back(small_run: Run) -> None:
    assert small_run.read("model_users").num_rows == 60
    assert small_run.read("model_interactions", "holdout").num_rows == 57 * 10
    assert small_run.read("model_labels", "holdout").num_rows == 57 * 4 + 4
    reopened = Run.open("small")
    assert reopened.manifest == small_run.manifest


def test_files_that_an_ingest_has_replaced_are_named(small_run: Run) -> None:
    gone = Input(("attempt-0/x.parquet",), 1, "")
    run = Run(replace(small_run.manifest, inputs={"core_users": gone}), small_run.settings)
    with pytest.raises(PermanentError, match=r"core_users: files of run small are gone, .*; open a new run .*x\.parquet"):
        run.files("core_users")


def test_unknown_run_says_how_to_make_one(home: object) -> None:
    with pytest.raises(PermanentError, match=r"run 'nope'.*python -m jobs.open_run"):
        Run.open("nope")


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", ".hidden", "a..b"])
def test_run_id_cannot_leave_the_runs_folder(home: object, run_id: str) -> None:
    with pytest.raises(PermanentError, match="letters, digits"):
        Run.open(run_id)


def test_a_run_from_before_the_splits_were_renamed_reads_as_it_did(home: Path) -> None:
    run = small_world.make_run()
    pairs = run.read("model_interactions", "full")
    manifest = json.loads((run.folder / "run.json").read_text())
    former = {"ranker": "rank", "holdout": "eval", "full": "final"}
    manifest["folds"] = {former[name]: split | {"name": former[name]} for name, split in manifest.pop("splits").items()}
    del manifest["kept_by"]
    manifest["config"]["members"] = manifest["config"].pop("extension_options") | {"models": {"als": {"factors": 8}}}
    (run.folder / "run.json").write_text(json.dumps(manifest))
    for folder in list(run.folder.rglob("split=*")):
        folder.rename(folder.with_name(f"fold={former[folder.name.removeprefix('split=')]}"))
    again = Run.open("small")
    assert again.splits == run.splits and again.split("ranker") == run.split("ranker")
    assert again.read("model_interactions", "full").equals(pairs)
    assert again.config.options("models", "als") == {"factors": 8}
    assert replace(again.manifest, kept_by="split", config=run.config) == run.manifest


def test_batches_are_row_groups_in_the_order_of_the_key(home: Path) -> None:
    run = small_world.make_run()
    batches = [
        pa.table({"item_id": [first, second], "item_ids": [["a"], ["b"]], "scores": [[1.0], [2.0]]}) for first, second in ("ab", "dc")
    ]
    run.write_batches("out_bought_together", iter(batches))
    assert run.read("out_bought_together")["item_id"].to_pylist() == ["a", "b", "c", "d"]
    [file] = run.files("out_bought_together")
    assert pq.read_metadata(file).num_row_groups == 2
    with pytest.raises(PermanentError, match="in the order of the key"):
        run.write_batches("out_bought_together", batches[::-1])
    assert run.read("out_bought_together").num_rows == 4, "what was written before is still there"
    run.write_batches("out_bought_together", ())
    assert run.read("out_bought_together").num_rows == 0
