"""From a run's tables to what readers see, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from published_rows import publication, tables

from hybridrec import lookup, publishing, store
from hybridrec.errors import BadData
from hybridrec.job import Skip
from hybridrec.run import Run
from hybridrec.targets import Target
from hybridrec.targets.sqlite import require_version
from jobs import check_output, publish_table, rollback_publication

NOW = datetime(2026, 4, 12, 3, tzinfo=UTC)


@pytest.fixture
def target(listed: Run) -> Iterator[Target]:
    found = lookup.open_target(listed.settings)
    yield found
    found.close()


@pytest.mark.parametrize("run_id", ["small", "scheduled__2026-01-31T02-00-00", "A.b-C", "9" * 128])
def test_a_version_is_a_safe_name_that_only_its_run_has(run_id: str) -> None:
    version = require_version(publishing.version_of(run_id))
    assert version == publishing.version_of(run_id)
    assert version != publishing.version_of(run_id + "x")


def test_a_run_is_published_as_it_was_checked(listed: Run, target: Target) -> None:
    check_output.main(check_output.Params("small"))
    publish_table.main(publish_table.Params("small"))
    live = target.versions()[0]
    assert (live.state, live.run_id, live.source, live.model_version, live.notes) == ("live", "small", "small", "unregistered", "")
    assert (live.valid_until - live.generated_at).days == listed.config.valid_days
    assert live.counts["recommendations"] == 60
    published = pa.Table.from_batches(target.read_live("recommendations"))
    assert published.equals(listed.read("out_recommendations").cast(published.schema).combine_chunks())


def test_the_registered_model_version_is_on_the_publication(listed: Run, target: Target) -> None:
    with listed.staged("promotion") as folder:
        store.write_json(folder / "promotion.json", {"model_version": "17"})
    check_output.main(check_output.Params("small"))
    assert publishing.publish_run(listed, target, NOW).model_version == "17"


def test_publishing_again_changes_nothing(listed: Run, target: Target) -> None:
    check_output.main(check_output.Params("small"))
    first = publishing.publish_run(listed, target, NOW)
    publishing.publish_run(listed, target, NOW.replace(hour=9))
    check_output.main(check_output.Params("small"))  # also a cleared check: the run is not compared with itself
    publishing.publish_run(listed, target, NOW.replace(hour=9))
    assert target.versions() == [replace(first, state="live")]


def test_unchecked_tables_are_refused(listed: Run, target: Target) -> None:
    with pytest.raises(BadData, match=r"run small: its tables are not checked; run python -m jobs.check_output --run-id small"):
        publish_table.main(publish_table.Params("small"))


def test_tables_that_changed_since_the_check_are_refused(listed: Run, target: Target) -> None:
    check_output.main(check_output.Params("small"))
    rows = listed.read("out_recommendations").to_pandas()
    listed.write("out_recommendations", pa.Table.from_pandas(rows.assign(strategy="other"), preserve_index=False))
    with pytest.raises(BadData, match="have changed since check_output"):
        publish_table.main(publish_table.Params("small"))
    assert target.versions() == []


def test_a_failed_check_is_refused_and_an_override_is_kept_in_the_notes(listed: Run, target: Target) -> None:
    store.write_json(listed.folder / "run.json", _raw_manifest(listed, min_coverage=1.01))
    with pytest.raises(BadData, match="coverage"):
        check_output.main(check_output.Params("small"))
    with pytest.raises(BadData, match="check_output failed on coverage; the live version stays"):
        publish_table.main(publish_table.Params("small"))
    check_output.main(check_output.Params("small", "we know"))
    publish_table.main(publish_table.Params("small"))
    assert target.versions()[0].notes == "override: we know"


def test_no_publish_is_a_skip(listed: Run) -> None:
    store.write_json(listed.folder / "run.json", _raw_manifest(listed) | {"publish": False})
    with pytest.raises(Skip, match="--no-publish"):
        publish_table.main(publish_table.Params("small"))


def test_roll_back_goes_to_the_newest_kept_one_before_the_live(target: Target) -> None:
    for number in (1, 2, 3):
        target.stage(publication(f"v{number}"), tables(f"mark{number}"))
        target.switch_to(f"v{number}", 5)
    before, after = publishing.roll_back(target, None, 5)
    assert (before.version, after.version) == ("v3", "v2")
    rollback_publication.main(rollback_publication.Params())
    assert publishing.live_publication(target.versions()) == replace(target.versions()[2], state="live")
    assert target.versions()[2].version == "v1"
    with pytest.raises(BadData, match=r"no version older than the live v1 is kept; kept versions: v3 \(run run-v3"):
        rollback_publication.main(rollback_publication.Params())
    rollback_publication.main(rollback_publication.Params("v3"))
    with pytest.raises(BadData, match="version v3 is live already"):
        rollback_publication.main(rollback_publication.Params("v3"))
    with pytest.raises(BadData, match="version 'v9' cannot be rolled back to; kept versions: v2"):
        rollback_publication.main(rollback_publication.Params("v9"))


def test_there_is_nothing_to_roll_back_before_the_first_publication(target: Target) -> None:
    with pytest.raises(BadData, match="nothing is live"):
        rollback_publication.main(rollback_publication.Params())


def test_a_replaced_run_is_not_published_over_a_newer_one(listed: Run, target: Target) -> None:
    check_output.main(check_output.Params("small"))
    publish_table.main(publish_table.Params("small"))
    target.stage(publication("newer"), tables("two"))
    target.switch_to("newer", 5)
    with pytest.raises(BadData, match=r"was live and has been replaced by newer; to go back to it: python -m jobs.rollback_publication"):
        publish_table.main(publish_table.Params("small"))
    rollback_publication.main(rollback_publication.Params(publishing.version_of("small")))
    assert target.versions()[1].state == "live"


def _raw_manifest(run: Run, **options: object) -> dict[str, object]:
    raw: dict[str, object] = json.loads((run.folder / "run.json").read_text())
    return raw | {"config": {**raw["config"], **options}}  # type: ignore[dict-item]
