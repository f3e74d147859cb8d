"""From a run's tables to what readers see, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.execution.job import Skip
from hybridrec.policy.policy import DECISION
from hybridrec.publishing import publish
from hybridrec.publishing.interventions import hold as publishing_held
from hybridrec.publishing.interventions import interventions
from hybridrec.publishing.kept_versions import as_markdown, kept_versions, with_figures
from hybridrec.runs.run import Run
from hybridrec.serving import lookup
from hybridrec.storage import store
from hybridrec.versions.publications import Target, require_version
from jobs import check_output, confirm_outcome, publish_table, rollback_publication
from tests.support import finished_night
from tests.support.published_rows import publication, tables

NOW = datetime(2026, 4, 12, 3, tzinfo=UTC)


@pytest.fixture
def target(listed: Run) -> Iterator[Target]:
    found = lookup.open_target(listed.settings)
    yield found
    found.close()


@pytest.mark.parametrize("run_id", ["small", "scheduled__2026-01-31T02-00-00", "A.b-C", "9" * 128])
def test_a_version_is_a_safe_name_that_only_its_run_has(run_id: str) -> None:
    version = require_version(publish.version_of(run_id))
    assert version == publish.version_of(run_id)
    assert version != publish.version_of(run_id + "x")


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
    assert publish.publish_run(listed, target, NOW).model_version == "17"


def test_publishing_again_changes_nothing(listed: Run, target: Target) -> None:
    check_output.main(check_output.Params("small"))
    first = publish.publish_run(listed, target, NOW)
    publish.publish_run(listed, target, NOW.replace(hour=9))
    check_output.main(check_output.Params("small"))  # also a cleared check: the run is not compared with itself
    publish.publish_run(listed, target, NOW.replace(hour=9))
    assert target.versions() == [replace(first, state="live")]


def test_unchecked_tables_are_refused(listed: Run, target: Target) -> None:
    with pytest.raises(PermanentError, match=r"run small: its tables are not checked; run python -m jobs.check_output --run-id small"):
        publish_table.main(publish_table.Params("small"))


def test_tables_that_changed_since_the_check_are_refused(listed: Run, target: Target) -> None:
    check_output.main(check_output.Params("small"))
    rows = listed.read("out_recommendations").to_pandas()
    listed.write("out_recommendations", pa.Table.from_pandas(rows.assign(strategy="other"), preserve_index=False))
    with pytest.raises(PermanentError, match="have changed since check_output"):
        publish_table.main(publish_table.Params("small"))
    assert target.versions() == []


def test_a_failed_check_is_refused_and_an_override_is_kept_in_the_notes(listed: Run, target: Target) -> None:
    store.write_json(listed.folder / "run.json", _raw_manifest(listed, min_coverage=1.01))
    with pytest.raises(PermanentError, match="coverage"):
        check_output.main(check_output.Params("small"))
    with pytest.raises(PermanentError, match="check_output failed on coverage; the live version stays"):
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
    before, after = publish.roll_back(target, None, 5)
    assert (before.version, after.version) == ("v3", "v2")
    rollback_publication.main(rollback_publication.Params())
    assert publish.live_publication(target.versions()) == replace(target.versions()[2], state="live")
    assert target.versions()[2].version == "v1"
    with pytest.raises(PermanentError, match=r"no version older than the live v1 is kept; kept versions: v3 \(run run-v3"):
        rollback_publication.main(rollback_publication.Params())
    rollback_publication.main(rollback_publication.Params("v3"))
    with pytest.raises(PermanentError, match="version v3 is live already"):
        rollback_publication.main(rollback_publication.Params("v3"))
    with pytest.raises(PermanentError, match="version 'v9' cannot be rolled back to; kept versions: v2"):
        rollback_publication.main(rollback_publication.Params("v9"))


def test_there_is_nothing_to_roll_back_before_the_first_publication(target: Target) -> None:
    with pytest.raises(PermanentError, match="nothing is live"):
        rollback_publication.main(rollback_publication.Params())


def test_a_replaced_run_is_not_published_over_a_newer_one(listed: Run, target: Target) -> None:
    check_output.main(check_output.Params("small"))
    publish_table.main(publish_table.Params("small"))
    target.stage(publication("newer"), tables("two"))
    target.switch_to("newer", 5)
    with pytest.raises(
        PermanentError, match=r"was live and has been replaced by newer; to go back to it: python -m jobs.rollback_publication"
    ):
        publish_table.main(publish_table.Params("small"))
    rollback_publication.main(rollback_publication.Params(publish.version_of("small")))
    assert target.versions()[1].state == "live"


def test_an_older_run_replaces_nothing_unless_somebody_wants_it(listed: Run, target: Target) -> None:
    check_output.main(check_output.Params("small"))  # before the newer version: what passed then must not count now
    newer = publication("newer", as_of=listed.manifest.as_of + timedelta(days=1))
    target.stage(newer, tables("two"))
    target.switch_to("newer", 5)
    with pytest.raises(
        PermanentError, match=r"run small sees events until 2026-04-11 00:00, the live version newer until 2026-04-12 00:00"
    ):
        publish_table.main(publish_table.Params("small"))
    assert [found.version for found in target.versions()] == ["newer"]
    check_output.main(check_output.Params("small", "the newest day is broken"))
    publish_table.main(publish_table.Params("small"))
    assert "the newest day is broken" in target.versions()[0].notes


def test_a_backfill_that_was_asked_to_publish_does_and_pushes_no_kept_version_out(listed: Run, target: Target) -> None:
    for number in range(1, 5):
        newer = publication(f"v{number}", as_of=listed.manifest.as_of + timedelta(days=number))
        target.stage(newer, tables(f"mark{number}"))
        target.switch_to(f"v{number}", 3)
    store.write_json(listed.folder / "run.json", _raw_manifest(listed, keep_versions=3) | {"backfill": True})
    check_output.main(check_output.Params("small", "wanted"))
    publish_table.main(publish_table.Params("small"))
    states = {found.version: found.state for found in target.versions()}
    assert states == {publish.version_of("small"): "live", "v4": "kept", "v3": "kept", "v2": "kept", "v1": "dropped"}
    assert target.versions()[0].notes.startswith("backfill")
    publish.roll_back(target, "v4", 3)
    assert "dropped" not in {found.state for found in target.versions() if found.version != "v1"}


def test_versions_that_were_never_live_push_no_kept_version_out() -> None:
    found = [
        publication(f"v{number}", state=state) for number, state in enumerate(["live", "rejected", "staged", "kept", "dropped", "kept"])
    ]
    assert [publish.newest_to_keep(found, keep, "v0") for keep in (1, 2, 3, 4)] == [1, 4, 5, 5]


def test_while_publications_are_held_a_night_publishes_nothing_and_says_who_when_and_why(listed: Run, target: Target) -> None:
    target.stage(publication("before", source="elsewhere"), tables("one"))
    target.switch_to("before", 5)
    check_output.main(check_output.Params("small", "another source"))
    hold = rollback_publication.Params(action="hold", reason="the shop counts its stock", by="ada")
    rollback_publication.main(hold)
    with pytest.raises(Skip, match=r"held: ada held publications on 20.* UTC: the shop counts its stock\. .*--action lift_hold"):
        publish_table.main(publish_table.Params("small"))
    confirm_outcome.main(confirm_outcome.Params("small"))
    assert [found.version for found in target.versions()] == ["before"]

    rollback_publication.main(rollback_publication.Params(action="lift_hold", reason="counted", by="ben"))
    publish_table.main(publish_table.Params("small"))
    assert target.versions()[0].state == "live"
    assert [(act.kind, act.by) for act in interventions(listed.settings)] == [("lift", "ben"), ("hold", "ada")]


def test_a_hold_that_comes_while_a_night_stages_keeps_it_from_switching(
    listed: Run, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_output.main(check_output.Params("small"))
    check = target.check

    def held_meanwhile(version: str) -> None:
        check(version)
        rollback_publication.main(rollback_publication.Params(action="hold", reason="wait"))

    monkeypatch.setattr(target, "check", held_meanwhile)
    with pytest.raises(publish.Held, match="wait"):
        publish.publish_run(listed, target, NOW)
    assert [found.state for found in target.versions()] == ["staged"]


def test_a_rollback_with_a_hold_does_both_and_keeps_the_reason(target: Target, home: Path) -> None:
    for number in (1, 2):
        target.stage(publication(f"v{number}"), tables(f"mark{number}"))
        target.switch_to(f"v{number}", 5)
    rollback_publication.main(rollback_publication.Params("v1", "half the lists are shoes", "roll_back_and_hold", "ada"))
    assert [(found.version, found.state) for found in target.versions()] == [("v2", "kept"), ("v1", "live")]
    acts = interventions(Settings.from_env())
    assert [(act.kind, act.version, act.reason) for act in acts] == [
        ("rollback", "v1", "half the lists are shoes"),
        ("hold", "", "half the lists are shoes"),
    ]
    assert publishing_held(Settings.from_env())


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (rollback_publication.Params(action="hold"), "--action hold needs --reason"),
        (rollback_publication.Params(action="lift_hold"), "--action lift_hold needs --reason"),
        (rollback_publication.Params("v1", "why", "hold"), "--version v1: the action hold moves no version; choose roll_back"),
        (rollback_publication.Params(action="hold", reason=" "), "reason is ' '; say in 1 to 300 characters why"),
        (rollback_publication.Params(action="hold", reason="x" * 301), "say in 1 to 300 characters why"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(params: rollback_publication.Params, said: str, target: Target) -> None:
    with pytest.raises(PermanentError, match=said):
        rollback_publication.main(params)
    assert interventions(Settings.from_env()) == []


def test_only_a_run_that_published_or_was_not_to_is_confirmed(listed: Run, target: Target) -> None:
    with pytest.raises(
        PermanentError, match="run small has published nothing, although its publishing was on; the live version stays live"
    ):
        confirm_outcome.main(confirm_outcome.Params("small"))
    check_output.main(check_output.Params("small"))
    with pytest.raises(PermanentError, match="run small has published nothing"):
        confirm_outcome.main(confirm_outcome.Params("small"))
    publish_table.main(publish_table.Params("small"))
    assert publish.confirm_outcome(listed, target) == f"version {publish.version_of('small')} is live"


def test_a_run_that_is_not_to_publish_is_confirmed_once_its_tables_have_passed(listed: Run, target: Target) -> None:
    store.write_json(listed.folder / "run.json", _raw_manifest(listed) | {"publish": False})
    with pytest.raises(PermanentError, match="its tables are not checked"):
        confirm_outcome.main(confirm_outcome.Params("small"))
    check_output.main(check_output.Params("small"))
    confirm_outcome.main(confirm_outcome.Params("small"))


def test_a_person_chooses_from_the_kept_versions_by_their_figures(listed: Run, target: Target) -> None:
    finished_night.finish(listed, ("judge", "promote"))
    check_output.main(check_output.Params("small"))
    publish_table.main(publish_table.Params("small"))
    target.stage(publication("unknown_run"), tables("two"))
    target.switch_to("unknown_run", 5)
    target.stage(publication("newest"), tables("three"))
    target.switch_to("newest", 5)
    unknown, small = kept_versions(target, listed.settings)
    assert (unknown.publication.version, unknown.k, unknown.quality) == ("unknown_run", None, None)
    assert (small.k, small.metric) == (10, "ndcg@10")
    heavy, light = 0.38 * 1.1, 0.35 * 0.8  # stacking serves 38 users, weighted 20
    assert small.quality == pytest.approx((38 * heavy + 20 * light) / 58)
    assert small.coverage is not None and 0.5 < small.coverage <= 1
    head, _, *rows = as_markdown([unknown, small]).splitlines()
    assert all(row.count("|") == head.count("|") for row in rows)
    assert f"| 60 | 10 | ndcg@10 {small.quality:.4f} | {small.coverage:.1%} |" in rows[1]
    odd = replace(small, publication=replace(small.publication, notes="override: a|b\nc"))
    assert as_markdown([odd]).splitlines()[2:] == [rows[1].replace("|  |", "| override: a/b c |")]
    assert small.label.startswith(f"{publish.version_of('small')} of 20")
    decided = listed.artefact("decision") / DECISION
    store.write_json(decided, json.loads(decided.read_text()) | {"judged": {"heavy": 38, "light": 20}, "served": {"heavy": 1, "light": 3}})
    assert with_figures(small.publication, listed.settings).quality == pytest.approx((heavy + 3 * light) / 4)
    [live] = [version for version in target.versions() if version.state == "live"]
    assert as_markdown([with_figures(live, listed.settings)]).endswith("| live now |")


def _raw_manifest(run: Run, **options: object) -> dict[str, object]:
    raw: dict[str, object] = json.loads((run.folder / "run.json").read_text())
    return raw | {"config": {**raw["config"], **options}}  # type: ignore[dict-item]
