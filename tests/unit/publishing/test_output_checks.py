"""Each check passes on good lists and fails on lists that are wrong in just that way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.base.errors import PermanentError
from hybridrec.publishing import output_checks
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import open_target
from hybridrec.versions.publications import SIDE_TABLES, Target
from jobs import check_output, publish_table
from tests.support.published_rows import publication, tables

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def target(listed: Run) -> Iterator[Target]:
    found = open_target(listed.settings)
    yield found
    found.close()


def rewrite(run: Run, change: Change) -> None:
    frame = change(run.read("out_recommendations").to_pandas())
    run.write("out_recommendations", pa.Table.from_pandas(frame, preserve_index=False))


def with_config(run: Run, **options: float) -> Run:
    return Run(replace(run.manifest, config=replace(run.config, **options)), run.settings)  # type: ignore[arg-type]


def failed(run: Run, target: Target) -> dict[str, float]:
    verdict = output_checks.check_output(run, target, None)
    return {check["name"]: check["value"] for check in verdict["checks"] if not check["passed"]}  # type: ignore[attr-defined]


def edit(**columns: Callable[[Any], Any]) -> Change:
    """Change cells of the third user's row."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        for name, how in columns.items():
            frame.at[2, name] = how(frame.at[2, name])
        return frame

    return change


def first(value: object) -> Callable[[Any], list[Any]]:
    return lambda cells: [value, *cells[1:]]


def without_last(cells: Any) -> list[Any]:
    return list(cells[:-1])


ALL_ARRAYS = ("item_ids", "scores", "reasons", "sources")
BREAKS: dict[str, tuple[Change, float]] = {
    "missing_users": (lambda frame: frame.drop(index=[2, 3]), 2),
    "repeated_users": (lambda frame: pd.concat([frame, frame.iloc[[2]]]), 1),
    "unknown_users": (edit(user_id=lambda _: "stranger"), 1),
    "wrong_length": (edit(**dict.fromkeys(ALL_ARRAYS, without_last)), 1),
    "unknown_items": (edit(item_ids=first("no_such_item")), 1),
    "seen_items": (edit(item_ids=first("SEEN")), 1),
    "unavailable_items": (edit(item_ids=first("i38")), 1),
    "repeated_items": (edit(item_ids=lambda items: [items[1], *items[1:]]), 1),
    "rising_scores": (edit(scores=lambda scores: [scores[1] - 1, *scores[1:]]), 1),
}


def test_good_lists_pass_and_every_check_has_a_way_to_break(listed: Run, target: Target) -> None:
    verdict = output_checks.check_output(listed, target, None)
    assert verdict["passed"]
    assert verdict["compared_with"] is None
    assert {c["name"] for c in verdict["checks"] if not c["may_be_overridden"]} == set(BREAKS) | set(SIDE_TABLES)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_row_is_found_and_cannot_be_overridden(listed: Run, target: Target, name: str) -> None:
    change, count = BREAKS[name]
    seen = listed.read("model_interactions", "full").to_pandas().query("user_idx == 2").item_idx.iloc[0]
    rewrite(
        listed,
        lambda frame: change(frame).map(
            lambda cell: [f"i{seen:02d}" if i == "SEEN" else i for i in cell] if isinstance(cell, list) else cell
        ),
    )
    found = failed(listed, target)
    assert found.pop(name) == count
    assert set(found) <= ({"missing_users"} if name == "unknown_users" else set())
    with pytest.raises(PermanentError, match=rf"out_recommendations: .*{name} is {count}, at most 0 passes .* cannot be overridden"):
        check_output.main(check_output.Params(listed.run_id, "I insist"))


@pytest.mark.parametrize("unequal", ["scores", "reasons", "sources"])
def test_arrays_of_different_length_are_found(listed: Run, target: Target, unequal: str) -> None:
    rewrite(listed, edit(**{unequal: without_last}))
    assert failed(listed, target) == {"wrong_length": 1}


def test_a_score_that_is_no_number_is_found(listed: Run, target: Target) -> None:
    rewrite(listed, edit(scores=first(float("nan"))))
    assert failed(listed, target) == {"rising_scores": 1}


def test_a_short_list_passes_with_a_stated_reason(listed: Run, target: Target) -> None:
    rewrite(listed, edit(**dict.fromkeys(ALL_ARRAYS, lambda _: []), shortfall=lambda _: "0 of 10 places: nothing is left"))
    assert failed(listed, target) == {}


@pytest.mark.parametrize(
    ("threshold", "name"),
    [
        ({"max_fallback_share": 0.03}, "fallback_share"),
        ({"max_item_share": 0.1}, "concentration"),
        ({"min_coverage": 1.01}, "coverage"),
    ],
)
def test_a_figure_beyond_its_threshold_fails(listed: Run, target: Target, threshold: dict[str, float], name: str) -> None:
    assert set(failed(with_config(listed, **threshold), target)) == {name}


def test_figures_can_be_checked_by_hand(listed: Run, target: Target) -> None:
    frame = listed.read("out_recommendations").to_pandas()
    checks = {c["name"]: c["value"] for c in output_checks.check_output(listed, target, None)["checks"]}  # type: ignore[attr-defined]
    shown = frame.item_ids.explode()
    assert checks["fallback_share"] == pytest.approx((frame.reason == "fallback").mean())
    assert checks["concentration"] == pytest.approx(shown.value_counts().max() / 60)
    assert checks["coverage"] == pytest.approx(shown.nunique() / 39)


@pytest.fixture
def live(listed: Run, target: Target) -> Run:
    """Provide the run, published; the next one is compared with it."""
    check_output.main(check_output.Params(listed.run_id))
    publish_table.main(publish_table.Params(listed.run_id))
    return listed


def next_run(run: Run, **changes: Any) -> Run:
    """Return the same tables under another run id."""
    return Run(replace(run.manifest, run_id="next", **changes), run.settings)


def this_night(run: Run) -> Run:
    found = next_run(run)
    found.folder = run.folder  # its tables are this run's
    return found


def test_the_same_lists_agree_with_the_live_ones(live: Run, target: Target) -> None:
    verdict = output_checks.check_output(this_night(live), target, None)
    checks = {c["name"]: c["value"] for c in verdict["checks"]}  # type: ignore[attr-defined]
    assert verdict["passed"]
    assert str(verdict["compared_with"]).startswith("small_")
    assert (checks["live_overlap"], checks["lost_users"], checks["items_gone"], checks["days_behind_live"]) == (1, 0, 0, 0)


def test_overlap_is_the_mean_share_of_live_items_that_stay(live: Run, target: Target) -> None:
    before = live.read("out_recommendations").to_pandas()
    rewrite(live, lambda frame: frame.assign(item_ids=[items if n % 2 else ["new"] * 10 for n, items in enumerate(frame.item_ids)]))  # type: ignore[misc]
    checks = {c["name"]: c for c in output_checks.check_output(this_night(live), target, None)["checks"]}  # type: ignore[attr-defined]
    assert checks["live_overlap"]["value"] == pytest.approx(0.5)
    gone = set(before.item_ids.explode()) - set(before.item_ids[1::2].explode())
    assert checks["items_gone"]["value"] == len(gone)
    tight = with_config(this_night(live), min_live_overlap=0.6)
    tight.folder = live.folder
    assert "live_overlap" in failed(tight, target)


def test_users_who_would_lose_their_row_stop_the_table(live: Run, target: Target) -> None:
    target.stage(publication("bigger", source="small"), tables("one", n_users=90))
    target.switch_to("bigger", 5)
    found = failed(this_night(live), target)
    assert found["lost_users"] == 1.0  # u00000 ... are other users


def test_an_older_night_does_not_replace_a_newer_one(live: Run, target: Target) -> None:
    older = this_night(live)
    older.manifest = replace(older.manifest, as_of=live.manifest.as_of.replace(day=1))
    assert failed(older, target) == {"days_behind_live": pytest.approx((live.manifest.as_of - older.manifest.as_of).days)}


@pytest.mark.parametrize("change", [{"publish": False}, {"backfill": True}])
def test_a_run_that_looks_back_and_replaces_nothing_unasked_is_compared_for_the_record(
    change: dict[str, bool], live: Run, target: Target
) -> None:
    older = this_night(live)
    older.manifest = replace(older.manifest, as_of=live.manifest.as_of.replace(day=1), **change)  # type: ignore[arg-type]
    verdict = output_checks.check_output(older, target, None)
    days = next(check for check in verdict["checks"] if check["name"] == "days_behind_live")  # type: ignore[attr-defined]
    assert verdict["passed"]
    assert (days["value"], days["kind"], days["limit"]) == ((live.manifest.as_of - older.manifest.as_of).days, "reported", None)


@pytest.mark.parametrize(("change", "passes"), [({"publish": False, "backfill": True}, True), ({"backfill": True}, False), ({}, False)])
def test_a_backfill_that_publishes_nothing_is_not_measured_by_another_source(
    change: dict[str, bool], passes: bool, live: Run, target: Target
) -> None:
    target.stage(publication("other", source="elsewhere"), tables("one"))
    target.switch_to("other", 5)
    run = this_night(live)
    run.manifest = replace(run.manifest, **change)  # type: ignore[arg-type]
    assert output_checks.check_output(run, target, None)["passed"] is passes


def test_another_source_is_named(live: Run, target: Target) -> None:
    target.stage(publication("other", source="elsewhere"), tables("one"))
    target.switch_to("other", 5)
    verdict = output_checks.check_output(this_night(live), target, None)
    with pytest.raises(PermanentError, match="live table is of source elsewhere, this run of small"):
        output_checks.require_passed(verdict)


def test_a_person_overrides_a_threshold_and_the_reason_is_published(listed: Run, target: Target) -> None:
    strict = with_config(listed, min_coverage=1.01)
    with pytest.raises(PermanentError, match=r"coverage is .*, at least 1.01 passes .* The live version stays live; .* --override-reason"):
        output_checks.require_passed(output_checks.check_output(strict, target, None))
    verdict = output_checks.check_output(strict, target, "first night after the relaunch")
    output_checks.require_passed(verdict)
    assert verdict["override_reason"] == "first night after the relaunch"
    assert not verdict["passed"]


def test_a_reason_without_a_failure_is_not_kept(listed: Run, target: Target) -> None:
    assert output_checks.check_output(listed, target, "just in case")["override_reason"] is None
