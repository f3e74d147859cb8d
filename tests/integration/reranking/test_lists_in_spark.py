"""The job that makes lists gives what the plain function gives."""

from __future__ import annotations

from dataclasses import asdict, replace

import pyarrow as pa
import pytest

from hybridrec.assignment.variants import RunningExperiment, Variant
from hybridrec.experiments.run_variants import write_groups
from hybridrec.policy import ranked_lists as lists_of_blocks
from hybridrec.publishing import publish
from hybridrec.runs.run import MANIFEST, Run
from hybridrec.storage import shared_files, store


@pytest.mark.usefixtures("spark")
def test_the_job_gives_what_the_plain_function_gives(ranked_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs import apply_rules
    from tests.support import listed_run

    monkeypatch.setattr(apply_rules, "BLOCK_USERS", 7)  # several partitions, so that their order shows
    monkeypatch.setattr(lists_of_blocks, "BLOCK_USERS", 7)
    apply_rules.main(apply_rules.Params(ranked_run.run_id))
    names = ("out_recommendations", "out_similar_items", "out_popular_items", "out_items")
    by_job = {name: ranked_run.read(name) for name in names}
    assert len(ranked_run.files("out_recommendations")) > 1
    assert by_job["out_recommendations"]["user_id"].to_pylist() == sorted(by_job["out_recommendations"]["user_id"].to_pylist())
    hashes = publish.output_hashes(ranked_run)
    apply_rules.main(apply_rules.Params(ranked_run.run_id))
    assert publish.output_hashes(ranked_run) == hashes, "a rerun writes the same bytes"
    listed_run.add_lists(ranked_run)
    for name in names:
        assert ranked_run.read(name).cast(by_job[name].schema).equals(by_job[name])


@pytest.mark.usefixtures("spark")
def test_users_of_an_experiment_get_their_variants_and_the_others_what_they_had(ranked_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs import apply_rules

    monkeypatch.setattr(apply_rules, "BLOCK_USERS", 7)
    monkeypatch.setattr(lists_of_blocks, "BLOCK_USERS", 7)
    apply_rules.main(apply_rules.Params(ranked_run.run_id))
    before = ranked_run.read("out_recommendations").to_pandas().set_index("user_id")
    variants = (Variant("control", 0.3), Variant("turned", 0.3, strategy="weighted"), Variant("short", 0.3, k=3))
    experiment = RunningExperiment("mixed", "mixed", "running", (0.0, 1.0), variants)
    manifest = replace(ranked_run.manifest, experiments=(experiment,))
    shared_files.write_text(ranked_run.folder / MANIFEST, store.as_json(asdict(manifest)))
    run = Run.open(ranked_run.run_id)
    assert run.manifest == manifest
    ranked = run.read("model_ranked").to_pandas()
    run.write("model_variant_ranked", pa.Table.from_pandas(ranked.assign(score=-ranked.score), preserve_index=False))
    write_groups(run)
    apply_rules.main(apply_rules.Params(run.run_id))
    after = run.read("out_recommendations").to_pandas().set_index("user_id")
    assert list(after.index) == sorted(before.index)
    changed = [user for user in after.index if list(after.loc[user, "item_ids"]) != list(before.loc[user, "item_ids"])]
    assert {after.loc[user, "variant"] for user in changed} == {"turned", "short"}
    assert set(after.variant.dropna()) == {"control", "turned", "short"} and after.variant.isna().any()
    plain = run.read("out_surface_lists").to_pandas()
    assert list(plain.user_id) == sorted(after.index[after.variant.isin(["turned", "short"])])
    assert all(list(row.item_ids) == list(before.loc[row.user_id, "item_ids"]) for row in plain.itertuples())
