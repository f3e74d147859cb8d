"""The report of a finished night, and of nights that stopped early, over the small world."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from hybridrec.base.surfaces import ANYBODY, Surface
from hybridrec.evaluation.comparisons import Comparison
from hybridrec.evaluation.gate import Verdict
from hybridrec.evaluation.promotion import write_promotion
from hybridrec.report.gathering.list_figures import sample_positions
from hybridrec.report.gathering.warnings import warnings
from hybridrec.report.pages.page import ablation_tables, metric_tables, render, report_json
from hybridrec.report.story import served_sentence
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.tables import table
from tests.support import finished_night
from tests.support.finished_night import collect, publish, said, write_report
from tests.support.listed_run import ranked_rows


class _Outline(HTMLParser):
    """Sections by id, addresses, and whether every element is closed."""

    VOID = frozenset({"meta", "br", "line", "rect", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.addresses += [values[key] or "" for key in ("href", "src") if key in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file_and_whole(night: Run) -> None:
    page = render(collect(night))
    outline = _Outline()
    outline.feed(page)
    assert outline.open == []
    assert all(address.startswith("#") and address[1:] in outline.ids for address in outline.addresses)
    assert not re.search(r"https?:|url\(|<script|@import", page)
    assert len(page) < 300_000


def test_the_summary_says_what_a_person_must_know(night: Run) -> None:
    facts = collect(night)
    assert "60 users with up to 10 items each" in facts.headline
    text = said(facts)
    assert "Task train_model two_tower full failed: out of luck. Limit: no task fails." in text
    assert "Model two_tower dropped out: it is not fitted on all splits" in text
    assert "1 user has fewer than 10 items: only 4 unseen items are left. Limit: 10 items each." in text
    assert "Output check coverage failed: share of the available items that is in some list: 0.01. Limit: at least 0.02." in text
    assert "A person has overridden it: a small shop" in text
    assert "without the items' categories" not in text
    assert facts.absent == ()


def test_the_lists_are_counted(night: Run) -> None:
    lists = collect(night).lists
    assert lists is not None
    rows = night.read("out_recommendations").to_pylist()
    assert lists.n_places == sum(len(row["item_ids"]) for row in rows)
    assert lists.by_how == {"fallback": 2, "ranked": 58}
    published, history = lists.exposures
    assert published.n_items == history.n_items == 39  # i38 is out of stock
    assert published.n_shown == len({item for row in rows for item in row["item_ids"]})
    assert {h.name: sum(h.counts) for h in lists.scores} == Counter(r["strategy"] for r in rows for _ in r["item_ids"])
    assert {h.name: sum(h.best_counts) for h in lists.scores} == {"stacking": 40, "weighted": 18, "popularity": 2}


def test_sample_users_show_titles_reasons_and_history(night: Run) -> None:
    lists = collect(night).lists
    assert lists is not None
    assert [(user.user_id, user.segment) for user in lists.samples] == [("u20", "heavy"), ("u49", "light"), ("u59", "none")]
    heavy, _, none = lists.samples
    assert heavy.n_history == 14
    assert len(heavy.history) == 10
    assert heavy.items[0].title.startswith("Space story")
    assert none.n_history == 0
    assert "&lt;too&gt;" in render(collect(night))


def test_hits_of_the_candidates_by_source(night: Run) -> None:
    candidates = collect(night).pool
    assert candidates is not None
    labels = night.read("model_labels", "holdout").to_pandas()
    assert (candidates.n_labels, candidates.n_hits) == (len(labels), len(labels))
    assert sum(source.n_unique_hits for source in candidates.sources) == len(labels)
    assert {source.source: source.n_unique_hits for source in candidates.sources}["als"] == (labels.user_idx % 4 == 0).sum()


def test_what_each_model_brings_stands_beside_its_cost(night: Run) -> None:
    (table,) = ablation_tables(collect(night))
    assert (table.scope, table.strategy) == ("night", "stacking")
    assert [row.label for row in table.forest.rows] == ["popularity", "item_knn", "content_attributes", "als", "fm"]
    page = render(collect(night))
    row = re.search(r"<tr><td>popularity</td><td class=\"wide\">.*?</tr>", page, flags=re.DOTALL)
    assert row
    cells = [re.sub("<.*?>", " ", cell).split() for cell in re.findall(r'<td class="n">(.*?)</td>', row[0])]
    assert cells == [["+0.0300", "+0.018", "to", "+0.042"], ["21"], ["+1.5", "%"], ["37.5", "s"], ["300"]]


def test_how_large_catalogues_are_searched(night: Run) -> None:
    assert not collect(night).indexes and 'id="indexes"' not in render(collect(night))
    measured = {"index_exact_share": 0.9, "index_share": 0.0625, "index_recall": 0.9934, "index_recall_error": 0.0012, "index_used": 1.0}
    with night.staged("models/als", "full") as folder:
        (folder / "fit.json").write_text(json.dumps({"metrics": {"loss": 1.0} | measured}))
    facts = collect(night)
    assert [(index.model, index.used, index.recall) for index in facts.indexes] == [("als", True, 0.9934)]
    assert "by clusters" in (page := render(facts)) and "0.9934" in page


def test_every_list_has_its_row_and_new_items_their_plot(night: Run) -> None:
    facts = collect(night)
    (first, *_) = metric_tables(facts)
    assert [name for _, name, _ in first.rows] == [
        "stacking",
        "weighted",
        "switching",
        "item_knn",
        "als",
        "content_attributes",
        "popularity",
        "fm",
    ]
    assert "New items alone: 6 users judged" in render(facts)


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        ((), ["metrics", "the candidates' hits", "published lists", "the gate's verdict"]),
        (("pool", "judge"), ["published lists", "the gate's verdict"]),
        (("pool", "judge", "promote", "lists"), ["checks of the output"]),
    ],
)
def test_a_night_that_stopped_early_says_what_is_missing(small_run: Run, steps: tuple[str, ...], missing: list[str]) -> None:
    finished_night.finish(small_run, steps)
    facts = collect(small_run)
    assert [any(line.startswith(name) for line in facts.absent) for name in missing] == [True] * len(missing)
    page = render(facts)
    assert "the night stopped before" in page
    assert ("stopped before it had lists" in page) == ("lists" not in steps)


def test_the_gate_says_who_serves_and_why(night: Run) -> None:
    facts = collect(night)
    assert facts.gate is not None
    assert (facts.gate.promoted, facts.gate.candidate, facts.gate.champion_before, facts.gate.serving) == (True, "1", "", "tonight")
    assert facts.gate.comparisons[0].difference == 0.2
    assert {choice.segment: choice.strategy for choice in facts.choices} == {"heavy": "stacking", "light": "weighted", "none": "popularity"}
    refused = replace(facts, gate=replace(facts.gate, promoted=False, reasons=("a", "refused; the lists are ranked by champion")))
    assert "refused; the lists are ranked by champion." in "\n".join(notice.text for notice in warnings(refused))


def test_many_judged_users_without_history_are_pointed_out(night: Run) -> None:
    facts = collect(night)
    assert "had no history yet" not in render(facts)
    cold = tuple(replace(m, segment="none", n_users=40) for m in facts.metrics if m.segment == "light")
    assert "<b>40 of the 58 judged users had no history yet</b>" in render(replace(facts, metrics=facts.metrics + cold))


def test_a_night_without_publishing_is_called_a_trial(night: Run) -> None:
    night.manifest = replace(night.manifest, publish=False)
    assert collect(night).headline.startswith("A trial: lists for 60 users")


def test_a_run_that_only_ranks_says_so(small_run: Run) -> None:
    finished_night.finish(small_run, ("pool", "judge"))
    small_run.manifest = replace(small_run.manifest, publish=False)
    assert "stopped before it had lists" in collect(small_run).headline
    small_run.write("model_ranked", ranked_rows())
    assert collect(small_run).headline.startswith("Lists for 58 users were ranked; this run publishes nothing.")


def test_a_night_without_time_is_marked(night: Run) -> None:
    assert "which raises all figures" not in render(collect(night))
    night.manifest = replace(night.manifest, config=replace(night.config, split="random_per_user"))
    facts = collect(night)
    assert "On pairs held out at random, for 58 of the 60 users served, this run's lists beat" in facts.headline
    assert facts.folds["holdout"] == "judged by pairs held out at random"
    assert "which raises all figures" in render(facts)


def test_the_same_run_gives_the_same_page(night: Run) -> None:
    assert render(collect(night)) == render(collect(night))
    assert report_json(collect(night)) == report_json(collect(night))


def test_what_the_scheduler_added_is_shown(night: Run) -> None:
    steps = collect(night, {"open_run": 4.0}).steps
    assert {step.name: step.airflow_seconds for step in steps}["open_run"] == 2.5
    assert {step.name: step.airflow_seconds for step in steps}["train_model als full"] is None


def test_what_the_leak_alarms_cost_stands_in_the_report(night: Run) -> None:
    tasks = {"check_leaks": (3.0, 0.0), "build_features": (10.0, 1.5), "evaluate": (20.0, 0.5)}
    for job, (wall, alarms) in tasks.items():
        store.write_json(
            night.folder / "tasks" / f"{job}.json", {"job": job, "part": "", "state": "done", "wall_seconds": wall, "alarm_seconds": alarms}
        )
    facts = collect(night)
    others = sum(step.startup_seconds + step.spark_seconds + step.compute_seconds for step in facts.steps) - 33
    assert facts.leak_alarms is not None and facts.leak_alarms.seconds == 5.0
    assert facts.leak_alarms.share == pytest.approx(5 / (33 + others), abs=1e-4)
    page = render(facts)
    assert f"they took 5.0 s, {100 * facts.leak_alarms.share:.1f} % of the time in tasks" in page
    assert "features: split holdout: those of 20 users are the same" in page


def test_sample_positions_fill_up_from_the_largest_segment() -> None:
    assert sample_positions(Counter(heavy=10, light=4, none=1)) == {"heavy": (5,), "light": (2,), "none": (0,)}
    assert sample_positions(Counter(heavy=3, light=60)) == {"heavy": (1,), "light": (15, 45)}
    assert sample_positions(Counter(light=2)) == {"light": (0, 1)}
    assert sample_positions(Counter()) == {}


def test_the_job_commits_page_and_figures(small_run: Run) -> None:
    finished_night.finish(small_run, ("pool", "judge", "lists"))
    write_report(small_run)
    folder = small_run.artefact("report")
    figures = json.loads((folder / "report.json").read_text())
    assert figures["lists"]["n_users"] == 60
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_a_report_says_what_was_true_and_never_what_is_live(night: Run) -> None:
    publish(night, "v1", "one", run_id="small")
    facts = collect(night)
    assert facts.outcome == "published"
    assert facts.headline.startswith("Lists for 60 users with up to 10 items each were published at 2026-04-11 00:00 UTC as version v1. On")
    publish(night, "v2", "two")
    later = collect(night)
    assert "as version v1. By 2026-04-11 06:00 UTC, when this report was written, another version had taken its place." in later.headline
    for page in (render(facts), render(later)):
        assert not re.search(r"is live\b(?! at the time)|live still|live now", page)


def test_a_target_that_does_not_answer_costs_a_sentence(night: Run) -> None:
    night.settings.published.mkdir()
    (night.settings.published / "recommendations.db").write_text("no database, but long enough to be looked at as one" * 100)
    facts = collect(night)
    assert "The target sqlite could not be asked: " in facts.headline and "file is not a database" in facts.headline
    assert (facts.version, facts.before) == (None, None)
    render(facts)


def test_the_judged_mix_stands_beside_the_served_one(night: Run) -> None:
    facts = collect(night)
    assert [(row.segment, row.served, row.judged, row.judged_labelled) for row in facts.user_mix] == [
        ("none", 0.033, 0.0, 0.7),
        ("light", 0.333, 0.345, 0.1),
        ("heavy", 0.634, 0.655, 0.2),
    ]
    row = (
        '<td>none</td><td class="n">3.3%</td><td class="n">0.0%</td><td class="n">70.0%</td><td class="n">0.0%</td><td class="n">80.0%</td>'
    )
    assert row in render(facts)


def test_the_headline_is_about_the_users_served_against_the_best_single_model(night: Run) -> None:
    facts = collect(night)
    assert (
        "On held-out time, for 58 of the 60 users served, this run's lists beat the best single model, item_knn: ndcg@10 0.3700 against"
        " 0.3300, 12 % more; a difference of +0.0400, 95 % interval +0.0100 to +0.0700."
    ) in facts.headline
    page = render(facts)
    assert "weighed like the users served: 20 with a light history and 38 with a heavy history. Too few users were judged" in page
    assert "Popularity alone reaches 0.1800." in page
    assert page.index("Users served: 58 users judged") < page.index("All judged users: 58 users judged")


@pytest.mark.parametrize(
    ("difference", "low", "high", "said_of_it"),
    [
        (0.02, -0.01, 0.05, "are not clearly better than the best single model, item_knn: ndcg@10 0.3500 against 0.3300, 6 % more"),
        (-0.02, -0.05, 0.01, "are not clearly worse than the best single model, item_knn: ndcg@10 0.3100 against 0.3300, 6 % less"),
        (0.0, -0.01, 0.01, "are about as good as the best single model, item_knn: ndcg@10 0.3300 against 0.3300"),
        (-0.05, -0.08, -0.02, "fall behind the best single model, item_knn: ndcg@10 0.2800 against 0.3300, 15 % less"),
        (0.0, 0.0, 0.0, "are those of the best single model, item_knn: ndcg@10 0.3300."),
    ],
)
def test_the_headline_claims_no_more_than_its_interval(night: Run, difference: float, low: float, high: float, said_of_it: str) -> None:
    facts = collect(night)
    assert facts.served
    served = replace(facts.served, value=0.33 + difference, difference=difference, low=low, high=high)
    assert said_of_it in served_sentence(served, facts.held_out)
    warned = "worse than the best single model" in "\n".join(notice.text for notice in warnings(replace(facts, served=served)))
    assert warned == (high < 0)


def test_lists_that_a_stand_in_has_ranked_have_their_own_figures(small_run: Run) -> None:
    finished_night.finish(small_run, ("pool", "judge", "lists"))
    row = Comparison("served", "blend", "item_knn", "served", "ndcg@10", -0.01, -0.04, 0.02, 58)
    write_promotion(small_run, Verdict(False, "blend", ("refused; the lists are ranked by blend",), (row,)), "1", None)
    said = "the equal-weight blend's lists are not clearly worse than the best single model, item_knn: ndcg@10 0.3200"
    assert said in collect(small_run).headline


def test_tables_besides_the_lists_stand_beside_their_baselines(night: Run) -> None:
    assert 'id="tables"' not in render(collect(night))
    row = {"against": "item_knn", "value": 0.3, "against_value": 0.2, "difference": 0.1, "low": 0.05, "high": 0.15, "n_judged": 1794}
    rows = [row | {"name": "bought_together", "metric": metric, "judged": "users with orders"} for metric in ("ndcg@20", "recall@20")]
    night.write("out_table_comparisons", pa.Table.from_pylist(rows, table("out_table_comparisons").arrow_schema()))
    facts = collect(night)
    assert [(found.name, found.metric, found.low) for found in facts.table_comparisons] == [
        ("bought_together", "ndcg@20", 0.05),
        ("bought_together", "recall@20", 0.05),
    ]
    page = render(facts)
    assert 'id="table-comparisons"' in page
    assert "1,794 users with orders" in page
    assert '<span class="good">+0.1000</span><small>+0.0500 to +0.1500</small>' in page
    assert json.loads(report_json(facts))["table_comparisons"][0]["against"] == "item_knn"


def test_surfaces_stand_with_what_sets_them_apart(night: Run) -> None:
    assert "#surfaces" not in render(collect(night))
    lists = night.read("out_recommendations").to_pylist()
    cut = [row | {name: row[name][: 2 if number else 0] for name in ("item_ids", "scores")} for number, row in enumerate(lists)]
    rows = [row | {"surface": "email"} for row in [lists[0] | {"user_id": ANYBODY}, *cut]]
    night.write("out_surface_lists", pa.Table.from_pylist(rows, table("out_surface_lists").arrow_schema()))
    config = replace(night.config, surfaces={"email": Surface(k=2, history="new", not_categories=["Drama"], without_rules=["mmr"])})
    facts = collect(Run(replace(night.manifest, config=config), night.settings))
    (email,) = facts.surfaces
    assert (email.name, email.k, email.rules) == ("email", 2, ("new to the user", "no Drama", "without the rule mmr"))
    assert (email.n_users, email.n_empty, sum(email.by_how.values())) == (60, 1, 59), "the list for unknown users is no user's"
    page = render(facts)
    assert '<a href="#surfaces">Surfaces</a>' in page and 'id="surfaces"' in page
    assert "<td>new to the user; no Drama; without the rule mmr</td>" in page
    assert json.loads(report_json(facts))["surfaces"][0]["n_places"] == 118
