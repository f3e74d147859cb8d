"""The rest of a night over the small world: candidates, metrics, decision, lists and checks, made with numpy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hybridrec.evaluation.ablation import Ablation, as_columns
from hybridrec.evaluation.comparisons import Comparison
from hybridrec.evaluation.gate import Verdict
from hybridrec.evaluation.leaked_labels import Finding
from hybridrec.evaluation.leaks import FINDINGS, FINDINGS_FILE
from hybridrec.evaluation.promotion import write_promotion
from hybridrec.policy.policy import DECISION, Choice, write_choices
from hybridrec.publishing.output_checks import OutputCheck
from hybridrec.report.facts import Facts
from hybridrec.report.gathering import collect as collecting
from hybridrec.reranking.tried import with_nothing_tried
from hybridrec.runs.run import Run
from hybridrec.serving.lookup import open_target
from hybridrec.storage import store
from hybridrec.tables import table
from tests.support import ROOT, small_world
from tests.support.published_rows import publication, tables

RETRIEVERS = ("als", "content_attributes", "item_knn", "popularity")
STRATEGIES = ("stacking", "switching", "weighted")
LISTS = (("source", RETRIEVERS), ("scorer", ("fm",)), ("strategy", STRATEGIES))
SERVED = {"none": 2, "light": 20, "heavy": 38}
MIX = {
    "served": {"none": 0.033, "light": 0.333, "heavy": 0.634},
    "judged": {"light": 0.345, "heavy": 0.655},
    "judged_labelled": {"none": 0.7, "light": 0.1, "heavy": 0.2},
    "learnt": {"light": 0.345, "heavy": 0.655},
    "learnt_labelled": {"none": 0.8, "light": 0.1, "heavy": 0.1},
}
LEVEL = {
    "fm": 0.29,
    "als": 0.31,
    "content_attributes": 0.22,
    "item_knn": 0.33,
    "popularity": 0.18,
    "stacking": 0.38,
    "switching": 0.30,
    "weighted": 0.35,
}


def finish(run: Run, steps: tuple[str, ...] = ("pool", "judge", "promote", "lists", "check", "records")) -> None:
    """Write what the named steps of a night would."""
    writers = {"pool": candidates, "judge": judge, "promote": promote, "lists": lists, "check": check, "records": records}
    for step in steps:
        writers[step](run)


def candidates(run: Run) -> None:
    """Write candidates: retriever u % 4 retrieves every label of user u, and all retrieve one more item per user."""
    labels = run.read("model_labels", "holdout").to_pandas()
    retrieved = labels[["user_idx", "item_idx"]].copy()
    for n, retriever in enumerate(RETRIEVERS):
        mine = retrieved.user_idx % len(RETRIEVERS) == n
        retrieved[f"rank_{retriever}"] = np.where(mine, 1.0, np.nan).astype(np.float32)
    everybody = pd.DataFrame({"user_idx": sorted(set(labels.user_idx)), "item_idx": 39, **{f"rank_{s}": np.float32(2) for s in RETRIEVERS}})
    rows = pd.concat([retrieved, everybody])
    rows["n_sources"] = rows.filter(like="rank_").notna().sum(axis=1).astype(np.int16)
    run.write("model_candidates", pa.Table.from_pandas(rows, preserve_index=False), "holdout")


def judge(run: Run) -> None:
    """Write metrics around the levels above, comparisons, the decision, and silent leak alarms."""
    with run.staged(FINDINGS) as folder:
        store.write_json(folder / FINDINGS_FILE, [Finding("features", "split holdout: those of 20 users are the same")._asdict()])
    rows = []
    for kind, names in LISTS:
        for name in names:
            for segment, factor, n_users in (("all", 1.0, 58), ("light", 0.8, 20), ("heavy", 1.1, 38), ("new_items", 0.2, 6)):
                for metric, scale in (
                    ("ndcg@10", 1.0),
                    ("recall@10", 0.9),
                    ("map@10", 0.6),
                    ("hit_rate@10", 2.0),
                    ("recall@20", 1.2),
                    ("recall@100", 1.8),
                    ("recall@pool", 1.9),
                ):
                    value = LEVEL[name] * factor * scale
                    rows.append((kind, name, segment, metric, value, value * 0.85, value * 1.15, n_users))
    served = [(kind, name, LEVEL[name]) for kind, names in LISTS for name in names] + [("policy", "tonight", 0.37)]
    rows += [(kind, name, "served", "ndcg@10", value, value * 0.85, value * 1.15, 58) for kind, name, value in served]
    columns = ["kind", "name", "segment", "metric", "value", "low", "high", "n_users"]
    run.write("out_metrics", pa.Table.from_pandas(pd.DataFrame(rows, columns=columns), preserve_index=False))
    compared = [("strategy", s, "popularity", "all", "ndcg@10", LEVEL[s] - 0.18, LEVEL[s] - 0.22, LEVEL[s] - 0.14, 58) for s in STRATEGIES]
    compared += [("strategy", "switching", "stacking", "all", "ndcg@10", -0.08, -0.11, -0.05, 58)]
    compared += [("best_source", "switching", "item_knn", "all", "ndcg@10", -0.03, -0.05, -0.01, 58)]
    compared += [("served", "tonight", "item_knn", "served", "ndcg@10", 0.04, 0.01, 0.07, 58)]
    compared += [("served", "tonight", "popularity", "served", "ndcg@10", 0.19, 0.15, 0.23, 58)]
    columns = ["question", "name", "against", "segment", "metric", "difference", "low", "high", "n_users"]
    run.write("out_comparisons", pa.Table.from_pandas(pd.DataFrame(compared, columns=columns), preserve_index=False))
    ablated = [
        Ablation("night", name, "stacking", "ndcg@10", 0.01 * n, 0.01 * n - 0.012, 0.01 * n + 0.012, 58, 7 * n, 0.015, 12.5 * n, 300.0)
        for n, name in enumerate(RETRIEVERS)
    ]
    ablated.append(Ablation("night", "fm", "stacking", "ndcg@10", -0.02, -0.03, -0.01, 58, 0, -0.002, None, None))
    run.write("out_ablation", pa.Table.from_pylist(as_columns(ablated), table("out_ablation").arrow_schema()))
    reason = "the default: no list is better with its whole 95 % interval above 0. Nearest: weighted - stacking: ndcg@10 -0.0300"
    choices = {"heavy": Choice("strategy", "stacking", reason), "light": Choice("strategy", "weighted", reason)}
    choices["none"] = Choice("source", "popularity", "the default: 0 users with labels in this segment")
    with run.staged("decision") as folder:
        write_choices(folder / DECISION, choices, {"metric": "ndcg@10", "served": SERVED, "judged": {"light": 20, "heavy": 38}, "mix": MIX})


def promote(run: Run) -> None:
    """Write a gate that passes the model bundle."""
    row = Comparison("champion", "tonight", "popularity", "all", "ndcg@10", 0.2, 0.16, 0.24, 58)
    verdict = Verdict(True, "tonight", (replace(row, name="this night").text(), "there is no champion yet", "promoted"), (row,))
    write_promotion(run, verdict, "1", None)


def lists(run: Run) -> None:
    """Write ten unseen items of the user's own group, low numbers first; u58 and u59 get the fallback, u00 two items too few."""
    seen = small_world.numbered_events().groupby("user_idx").item_idx.apply(set).to_dict()
    rows = [_list(user, seen.get(user, set())) for user in range(small_world.N_USERS)]
    columns = ["user_id", "item_ids", "scores", "reasons", "sources", "reason", "strategy", "segment", "shortfall"]
    made = pa.Table.from_pandas(pd.DataFrame(rows, columns=columns), preserve_index=False)
    run.write("out_recommendations", with_nothing_tried(made))


def _list(user: int, seen: set[int]) -> tuple[object, ...]:
    first = 0 if user < small_world.N_USERS // 2 else small_world.GROUP
    items = [item for item in range(first, first + small_world.GROUP) if item not in seen and item != 38][:6]
    items = items[:4] if user == 0 else items
    scores = [round(2.0 - 0.1 * n - 0.01 * user, 4) for n in range(len(items))]
    segment, strategy, how = ("heavy", "stacking", "ranked") if user < 40 else ("light", "weighted", "ranked")
    if user >= 58:
        segment, strategy, how = "none", "popularity", "fallback"
    why = "Popular with everybody" if how == "fallback" else "Because people with your taste chose it <too>"
    return (
        f"u{user:02d}",
        [f"i{item:02d}" for item in items],
        scores,
        [why] * len(items),
        ["als+item_knn"] * len(items),
        how,
        strategy,
        segment,
        "only 4 unseen items are left" if user == 0 else None,
    )


def check(run: Run) -> None:
    """Write one passed check of the output and one that a person has overridden."""
    checks = [
        OutputCheck("seen_items", 0.0, 0.0, "at_most", True, False, "positions with an item that the user has had"),
        OutputCheck("coverage", 0.01, 0.02, "at_least", False, True, "share of the available items that is in some list"),
    ]
    verdict = {"passed": False, "override_reason": "a small shop", "tables": {}, "compared_with": None}
    with run.staged("output_checks") as folder:
        store.write_json(folder / "checks.json", verdict | {"checks": [asdict(one) for one in checks]})


def records(run: Run) -> None:
    """Write costs of a few tasks, and a candidate set without the two-tower's candidates."""
    at = datetime(2026, 4, 12, 3, tzinfo=UTC).timestamp()
    costs = [
        ("open_run", "", 1.1, 0.0, 0.4, 130),
        ("build_interactions", "", 1.4, 5.2, 0.3, 210),
        ("train_model", "als.full", 1.6, 0.0, 3.9, 340),
    ]
    costs += [("generate_candidates", "full", 1.3, 3.1, 0.2, 250)]
    costs += [("train_model", "two_tower.full", 6.1, 0.0, 21.0, 905), ("apply_rules", "", 1.5, 7.7, 0.4, 260)]
    for n, (job, part, startup, spark, compute, peak) in enumerate(costs):
        state = "failed" if part.startswith("two_tower") else "done"
        record = {"job": job, "part": part, "state": state, "started_at": at + n, "startup_seconds": startup, "spark_seconds": spark}
        record |= {"wall_seconds": startup + spark + compute, "cpu_seconds": compute, "peak_mib": peak}
        record |= {"said": "out of luck"} if state == "failed" else {}
        store.write_json(run.folder / "tasks" / f"{job}.{part}.json", record)
    with run.staged("candidate_sources", "full") as folder:
        used = sorted(set(run.manifest.models) - {"two_tower"})
        store.write_json(folder / "sources.json", {"used": used, "missing": ["two_tower"]})


WRITTEN_AT = small_world.AS_OF + timedelta(hours=6)


def collect(run: Run, durations: Mapping[str, float] | None = None, at: datetime = WRITTEN_AT) -> Facts:
    """Return the facts of a report that is written a few hours after the newest event."""
    return collecting.collect(run, at, durations)


def said(facts: Facts) -> str:
    """Return all warnings."""
    return "\n".join(notice.text for notice in facts.warnings)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Provide homes with the small world's run as it is before its candidates, and as a finished night; made once, to be copied."""
    made = {name: tmp_path_factory.mktemp(name) for name in ("begun", "finished")}
    for name, folder in made.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HYBRIDREC_HOME", str(folder))
            run = small_world.make_run()
            if name == "finished":
                finish(run)
    return made


@pytest.fixture
def small_run(home: Path, homes: dict[str, Path]) -> Run:
    """Provide the run before its candidates."""
    shutil.copytree(homes["begun"], home, dirs_exist_ok=True)
    return Run.open("small")


@pytest.fixture
def night(home: Path, homes: dict[str, Path]) -> Run:
    """Provide the run of a whole night, not published."""
    shutil.copytree(homes["finished"], home, dirs_exist_ok=True)
    return Run.open("small")


def write_report(run: Run) -> str:
    """Run the job as a process; returns what it logged."""
    command = [sys.executable, "-m", "jobs.write_report", "--run-id", run.run_id]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def publish(run: Run, version: str, mark: str, **changes: object) -> None:
    """Make a version live at the run's target; its rows are the mark's."""
    with closing(open_target(run.settings)) as target:
        target.stage(publication(version, **changes), tables(mark))
        target.switch_to(version, 5)
