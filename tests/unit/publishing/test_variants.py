"""Variants: users of an experiment get their own lists from the same candidates, and the night's own again when it goes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hybridrec.assignment.variants import PLAIN_SURFACE, RunningExperiment, Variant
from hybridrec.experiments.run_variants import groups, read_groups, write_groups
from hybridrec.publishing import output_checks
from hybridrec.publishing.publish import published_tables
from hybridrec.reranking.inputs import write_inputs
from hybridrec.reranking.variant_lists import BY_VARIANT, variant_batches
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import open_target
from hybridrec.tables import table
from hybridrec.versions.content_hash import TableHash
from hybridrec.versions.publications import Target
from tests.support.made_experiments import keeper, moved
from tests.support.published_rows import publication

EXPERIMENT = RunningExperiment(
    "mmr",
    "mmr",
    "running",
    (0.0, 1.0),
    (Variant("control", 0.34), Variant("by_strategy", 0.33, strategy="weighted"), Variant("short", 0.33, k=3, without_rules=("mmr",))),
)


@pytest.fixture
def run(listed: Run) -> Run:
    """Provide the small world's run with an experiment of three variants; the strategy of one turns each list round."""
    run = Run(replace(listed.manifest, experiments=(EXPERIMENT,)), listed.settings)
    ranked = run.read("model_ranked").to_pandas()
    turned = ranked.assign(score=-ranked.score, rank=16 - ranked["rank"], strategy="weighted")
    run.write("model_variant_ranked", pa.Table.from_pandas(turned, preserve_index=False))
    return run


@pytest.fixture
def target(run: Run) -> Iterator[Target]:
    found = open_target(run.settings)
    yield found
    found.close()


def made(run: Run, folder: Path, plain: bool) -> pa.Table:
    """Make lists as jobs.apply_rules does, without Spark."""
    write_inputs(run, folder)
    of_users = write_groups(run)
    assert of_users is not None
    users = run.read("model_users", columns=["user_idx", "user_id"])
    parts = [users.append_column(BY_VARIANT, pa.array([False] * len(users)))]
    for name, by_variant in (("model_ranked", False), ("model_variant_ranked", True)):
        ranked = run.read(name)
        parts.append(ranked.append_column(BY_VARIANT, pa.array([by_variant] * len(ranked))))
    rows = pa.concat_tables(parts, promote_options="permissive").sort_by([("user_idx", "ascending"), ("item_idx", "ascending")])
    batches = list(variant_batches(iter(rows.to_batches(max_chunksize=101)), run, folder, of_users, plain))
    return pa.Table.from_batches(batches, table("out_surface_lists" if plain else "out_recommendations").arrow_schema())


def test_each_user_has_a_list_by_the_own_variant(run: Run, tmp_path: Path) -> None:
    before = run.read("out_recommendations").to_pandas().set_index("user_id")
    after = made(run, tmp_path, plain=False).to_pandas().set_index("user_id")
    assert list(after.index) == list(before.index)
    named = dict(enumerate(groups(run.manifest.experiments)))
    numbers = read_groups(run.artefact("variants"))
    assert set(numbers) == {-1, 0, 1, 2}
    for user_idx, (user, row) in enumerate(after.iterrows()):
        variant = named[int(numbers[user_idx])].variant.name if numbers[user_idx] >= 0 else None
        assert (row.experiment, row.variant) == ("mmr" if variant else None, variant)
        same = list(row.item_ids) == list(before.loc[str(user), "item_ids"])
        if variant in (None, "control"):
            assert same
        elif variant == "short":
            assert len(row.item_ids) == 3
        elif row.reason == "ranked":
            assert row.strategy == "weighted" and not same


def test_who_has_a_variant_has_the_nights_own_list_too(run: Run, tmp_path: Path) -> None:
    before = run.read("out_recommendations").to_pandas().set_index("user_id")
    plain = made(run, tmp_path, plain=True).to_pandas()
    assert set(plain.surface) == {PLAIN_SURFACE} and plain.experiment.isna().all()
    numbers = read_groups(run.artefact("variants"))
    assert len(plain) == np.isin(numbers, [1, 2]).sum() > 0
    assert all(list(row.item_ids) == list(before.loc[row.user_id, "item_ids"]) for row in plain.itertuples())


def test_lists_of_variants_pass_the_checks_and_a_wrong_length_does_not(run: Run, tmp_path: Path, target: Target) -> None:
    lists = made(run, tmp_path, plain=False)
    run.write("out_recommendations", lists)
    run.write("out_surface_lists", made(run, tmp_path, plain=True))
    verdict = output_checks.check_output(run, target, None)
    assert {check["name"]: check["value"] for check in verdict["checks"] if check["name"] in ("wrong_length", "missing_users")} == {  # type: ignore[attr-defined]
        "wrong_length": 0,
        "missing_users": 0,
    }
    of_nobody = pa.array([None] * lists.num_rows, pa.string())
    run.write("out_recommendations", lists.set_column(lists.column_names.index("variant"), "variant", of_nobody))
    verdict = output_checks.check_output(run, target, None)
    assert next(check["value"] for check in verdict["checks"] if check["name"] == "wrong_length") > 0  # type: ignore[attr-defined]


def test_back_is_in_effect_with_the_next_look_up(run: Run, tmp_path: Path, target: Target) -> None:
    before = run.read("out_recommendations").to_pandas().set_index("user_id")
    run.write("out_recommendations", made(run, tmp_path, plain=False))
    run.write("out_surface_lists", made(run, tmp_path, plain=True))
    moved(keeper(target), "mmr", "running")
    target.stage(publication("v1"), published_tables(run))
    target.check("v1")
    target.switch_to("v1", 3)
    rows = run.read("out_recommendations").to_pandas()
    [user, *_] = rows.user_id[rows.variant == "short"]
    answer = target.read_user(user)
    assert answer is not None and len(answer.entries) == 3 and not keeper(target).went_back("mmr")
    moved(keeper(target), "mmr", "back")
    assert keeper(target).went_back("mmr")
    plain = target.read_user(user, PLAIN_SURFACE)
    assert plain is not None and [entry.item_id for entry in plain.entries] == list(before.loc[user, "item_ids"])


def test_without_experiments_nothing_is_made_and_the_hash_is_as_before(listed: Run) -> None:
    assert write_groups(listed) is None
    shape = table("out_recommendations")
    former = replace(shape, columns=shape.columns[: shape.column_names.index("experiment")])
    rows = listed.read("out_recommendations").sort_by("user_id")
    hashes = []
    for definition, batches in ((shape, rows.to_batches(max_chunksize=7)), (former, rows.to_batches())):
        hashed = TableHash(definition)
        for batch in batches:
            hashed.add(batch)
        hashes.append(hashed.hexdigest())
    assert hashes[0] == hashes[1]


def test_the_hash_does_not_depend_on_the_batch_with_the_first_variant(run: Run, tmp_path: Path) -> None:
    rows = made(run, tmp_path, plain=False).sort_by("user_id")
    hashes = set()
    for size in (1, 7, 1_000):
        hashed = TableHash(table("out_recommendations"))
        for batch in rows.to_batches(max_chunksize=size):
            hashed.add(batch)
        hashes.add(hashed.hexdigest())
    assert len(hashes) == 1
