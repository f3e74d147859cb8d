"""The warnings of the report."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from hybridrec.feedback.figures import FeedbackFigures
from hybridrec.report.facts import Facts
from hybridrec.report.gathering.warnings import warnings
from hybridrec.report.list_facts import Feedback
from hybridrec.report.pages.page import render
from hybridrec.runs.run import Input, Run
from tests.support.finished_night import collect, publish, said


def with_limits(facts: Facts, **limits: float) -> str:
    """Return the warnings under other limits."""
    return "\n".join(notice.text for notice in warnings(replace(facts, limits=replace(facts.limits, **limits))))


def test_one_item_in_many_lists_is_named_with_its_share(night: Run) -> None:
    facts = collect(night)
    rows = night.read("out_recommendations").to_pylist()
    ((item, n),) = Counter(item for row in rows for item in row["item_ids"]).most_common(1)
    found = facts.lists and facts.lists.most_shown
    assert found and (found.item_id, found.n_lists) == (item, n)
    assert found.n_histories == (night.read("model_interactions", "full").to_pandas().item_idx == int(item[1:])).sum()
    share = f"{n} of 60 lists, {100 * n / 60:.1f} %; {found.n_histories} users have had it"
    text = f"({item}) is in very many lists: {share}. Limit: 10 % (warn_item_share)."
    assert text in said(facts)
    assert text.partition(":")[0] not in with_limits(facts, item_share=n / 60) + with_limits(facts, item_share=0.0)


def test_positions_on_few_items_are_held_against_histories(night: Run) -> None:
    facts = collect(night)
    assert facts.lists
    published, histories = facts.lists.exposures
    assert "concentrated" not in said(facts)
    for n_for_half, warned in ((4, True), (5, False)):
        lists = replace(facts.lists, exposures=(replace(published, n_for_half=n_for_half), replace(histories, n_for_half=15)))
        text = with_limits(replace(facts, lists=lists))
        assert ("half of all positions go to 4 items, half of the histories to 15, 3.8 times as many" in text) == warned
    assert "Limit: 1 times (warn_concentration)" in with_limits(facts, concentration=1.0)


@pytest.mark.parametrize(("after", "text"), [(2.9, ""), (3.1, "3.1 days before"), (10_450.0, "28.6 years before")])
def test_old_data_are_pointed_out(night: Run, after: float, text: str) -> None:
    newest = night.read("model_interactions", "full").to_pandas().last_event_at.max().to_pydatetime()
    facts = collect(night, at=newest + timedelta(days=after))
    assert (
        f"is old: {newest:%Y-%m-%d %H:%M} UTC, {text} this report was written. Limit: 3 days (warn_event_age_days)." in said(facts)
    ) == bool(text)
    assert "is old" not in with_limits(facts, event_age_days=0.0)


def test_a_model_whose_removal_would_help_is_named(night: Run) -> None:
    facts = collect(night)
    assert "better without the model fm: stacking without it: +0.0200 ndcg@10, 95 % interval +0.0100 to +0.0300, 58 users" in said(facts)
    assert said(facts).count("better without") == 1
    of_fm = next(a for a in facts.ablations if a.source == "fm")
    studied = replace(of_fm, scope="study", low=-0.03, high=0.01)
    assert "better without" not in "\n".join(notice.text for notice in warnings(replace(facts, ablations=(*facts.ablations, studied))))


def test_a_night_that_repeats_the_one_before_is_pointed_out(night: Run) -> None:
    publish(night, "v1", "one", run_id="gone")
    publish(night, "v2", "one", run_id="small")
    facts = collect(night)
    assert facts.before and (facts.before.version, facts.before.same_lists, facts.before.same_inputs) == ("v1", True, None)
    assert "The lists equal the previously live ones, row for row: content hash as in version v1 of run gone." in said(facts)


def test_the_same_data_under_other_lists_are_pointed_out_too(night: Run) -> None:
    publish(night, "v1", "one", run_id="earlier")
    publish(night, "v2", "two", run_id="small")
    assert "no night repeats" not in said(collect(night))
    Run.create(replace(night.manifest, run_id="earlier"), night.settings)
    assert "This night had the same data as the previously live one: events, items and users are those of run earlier" in said(
        collect(night)
    )
    other = {"core_events": Input(("a",), 1, "another hash")}
    night.manifest = replace(night.manifest, inputs=other)
    assert "same data" not in said(collect(night))


@pytest.mark.parametrize(
    ("figures", "landed", "alarm"),
    [
        ({"two_users": 3}, {}, "A recommendation_id has two users: answers were cached: 3 lists. Limit: 0 lists."),
        ({}, {"recommendations with two users": 2}, "A recommendation_id has two users: answers were cached: 2 lists."),
        ({}, {"lost lines": 7}, "Lines of the look-up's log are lost: 7 since the ingest before."),
        ({"clicks": 100, "orphan_clicks": 3}, {}, "Clicks name recommendations that are not known: 3 of 100 clicks. Limit: 2 %."),
        ({"clicks": 96, "orphan_clicks": 0}, {"clicks of unknown recommendations": 4}, "that are not known: 4 of 100 clicks."),
    ],
)
def test_what_spoils_figures_from_the_log_is_an_alarm(night: Run, figures: dict[str, int], landed: dict[str, int], alarm: str) -> None:
    facts = collect(night)
    sound = FeedbackFigures(lists=50, mature=40, positions=400, shown=200, complete=150, clicks=100, orphan_clicks=2)
    texts = []
    for known in (None, Feedback(sound, {"lists": 50}, {}), Feedback(replace(sound, **figures), landed, {})):
        texts.append("\n".join(notice.text for notice in warnings(replace(facts, feedback=known))))
    assert texts[0] == texts[1] and alarm in texts[2]


def test_the_page_has_a_section_on_feedback_only_if_lists_were_served(night: Run) -> None:
    facts = collect(night)
    assert facts.feedback is None and 'id="feedback"' not in render(facts)
    figures = FeedbackFigures(lists=50, mature=40, by_impression=30, by_click=5, positions=400, shown=200, complete=150, clicked=20)
    page = render(replace(facts, feedback=Feedback(figures, {"lists": 1234}, {"event_id was used before": 2})))
    section = page.split('<section id="feedback">')[1].split("</section>")[0]
    for text in ('<td>Feature completeness</td><td class="n">75.0%</td>', "30 and 5", "1,234 lists", "refused 2: event_id was used before"):
        assert text in section
