"""The job that makes lists gives what the plain function gives."""

from __future__ import annotations

import pytest

from hybridrec.policy import ranked_lists as lists_of_blocks
from hybridrec.publishing import publish
from hybridrec.runs.run import Run


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
