"""Read a run into the facts of its report; tables that a stopped night has not written are named, not guessed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict, TypeVar

from hybridrec.base.config import FOR_EVER, SplitMethod
from hybridrec.base.errors import PermanentError
from hybridrec.evaluation.ablation import Ablation
from hybridrec.evaluation.comparisons import Comparison
from hybridrec.evaluation.leaks import FINDINGS, FINDINGS_FILE
from hybridrec.execution.spark import server_peak_mib
from hybridrec.experiments.newest import kept_states
from hybridrec.policy.policy import DECISION, read_choices
from hybridrec.publishing import output_checks
from hybridrec.publishing.publish import why_held
from hybridrec.report import story
from hybridrec.report.experiment_facts import ExperimentResult, result_of, standing_of
from hybridrec.report.facts import (
    Before,
    CheckLine,
    Choice,
    Facts,
    Gate,
    Index,
    LeakAlarms,
    Limits,
    Metric,
    OutputChecks,
    Purpose,
    TableComparison,
    TunedModel,
    Version,
)
from hybridrec.report.gathering.candidate_coverage import retriever_hits
from hybridrec.report.gathering.costs import alarm_seconds, steps
from hybridrec.report.gathering.failure import find_failure, unknown_failure
from hybridrec.report.gathering.headline import served_quality, user_mix
from hybridrec.report.gathering.list_figures import batches, describe_lists
from hybridrec.report.gathering.surfaces import feedback, surface_figures
from hybridrec.report.gathering.table_quality import table_quality
from hybridrec.report.gathering.target_state import ask_target
from hybridrec.report.gathering.warnings import warnings
from hybridrec.report.tried.gather import bandit_facts, objective_facts
from hybridrec.runs.run import Run
from hybridrec.storage import shared_files, store
from hybridrec.training.fits import FIT_FILE
from hybridrec.tuning.trials import as_text
from hybridrec.versions.experiment_states import AT_WORK

if TYPE_CHECKING:
    from hybridrec.runs.run import RunManifest, Split
    from hybridrec.versions.publications import Publication

T = TypeVar("T")
HELD_OUT: dict[SplitMethod, str] = {
    "time": "held-out time",
    "last_per_user": "each user's last items",
    "random_per_user": "pairs held out at random",
}


def collect(run: Run, written_at: datetime, durations: Mapping[str, float] | None = None) -> Facts:
    """Return all that the report says about a run, as it is at `written_at`.

    durations: seconds of whole tasks as the scheduler measured them, by step name.
    """
    absent: list[str] = []

    def read(what: str, job: str, read_it: Callable[[Run], T]) -> T | None:
        try:
            return read_it(run)
        except store.NotCommitted:
            absent.append(f"{what}: {job} has not run to its end")
            return None

    facts = _frame(run, written_at)
    metric, choices = read("decision", "evaluate", _decision) or ("", ())
    facts = replace(
        facts,
        metric=metric,
        choices=choices,
        user_mix=user_mix(run) if metric else (),
        metrics=read("metrics", "evaluate", _metrics) or (),
        comparisons=read("comparisons", "evaluate", _comparisons) or (),
        table_comparisons=_table_comparisons(run),
        ablations=read("what each model brings", "evaluate", _ablations) or (),
        gate=read("the gate's verdict", "promote_model", _gate),
        pool=read("the candidates' hits", "generate_candidates", retriever_hits),
        indexes=_indexes(run),
        lists=read("published lists", "apply_rules", describe_lists),
        surfaces=surface_figures(run),
        feedback=feedback(run),
        experiments=_experiments(run),
        standing=tuple(standing_of(state) for state in kept_states(run) if state.state in AT_WORK),
        bandit=bandit_facts(run),
        objective=objective_facts(run),
        ranked_users=_ranked_users(run),
        missing_sources=read("the candidates of all users", "generate_candidates", _missing_models) or (),
        categories_unlearnt=bool(read("the catalogue", "build_interactions", _categories_unlearnt)),
        output_checks=read("checks of the output", "check_output", _output_checks),
        leak_alarms=read("the leak alarms", "check_leaks", _leak_alarms),
        quality=table_quality(run),
        steps=steps(run.folder, durations or {}),
        ingest_steps=steps(run.settings.warehouse(run.manifest.source), durations or {}),
        spark_peak_mib=_spark_peak_mib(run),
    )
    facts = replace(facts, absent=tuple(absent), **_newest_event(run, written_at), **_beside_target(run, facts))
    facts = replace(facts, served=served_quality(run, facts) if facts.metrics else None, failure=find_failure(run), held=why_held(run))
    facts = replace(facts, outcome=story.outcome(facts))
    facts = replace(facts, failure=unknown_failure(run)) if facts.outcome == story.FAILED and not facts.failure else facts
    return replace(facts, warnings=warnings(facts), headline=story.headline(facts))


def _ranked_users(run: Run) -> int:
    """Return users with a ranked list, before any rule; 0 where nothing has been ranked. A file holds all rows of its users."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        files = run.files("model_ranked")
    except store.NotCommitted:
        return 0
    return sum(int(pc.count_distinct(pq.ParquetFile(path).read(["user_idx"])["user_idx"]).as_py()) for path in files)


def _frame(run: Run, written_at: datetime) -> Facts:
    manifest, config = run.manifest, run.config
    splits = {
        str(split.name): _describe_split(split, run.config.split) for split in sorted(manifest.splits.values(), key=lambda split: split.cut)
    }
    options = {name: str(value) for name, value in asdict(run.config).items()}
    return Facts(
        run_id=run.run_id,
        source=manifest.source,
        as_of=f"{manifest.as_of:%Y-%m-%d %H:%M:%S} UTC",
        written_at=f"{written_at:%Y-%m-%d %H:%M} UTC",
        code_version=manifest.code_version,
        limits=Limits(config.warn_item_share, config.warn_concentration, config.warn_fallback_share, config.warn_event_age_days),
        models=manifest.models,
        k=run.config.k,
        publish=manifest.publish,
        held_out=HELD_OUT[run.config.split],
        folds=splits,
        options=options,
        tuned=_tuned(manifest),
        purposes=tuple(_purpose(manifest, name) for name in sorted(manifest.repeat_shares)),
    )


def _purpose(manifest: RunManifest, name: str) -> Purpose:
    days = manifest.config.had_days[name]
    had = "for ever" if days >= FOR_EVER else "never" if days == 0 else f"for {days:g} days"
    return Purpose(name, had, manifest.repeat_shares[name])


def _tuned(manifest: RunManifest) -> tuple[TunedModel, ...]:
    by_model = sorted(manifest.tuned.items())
    return tuple(TunedModel(model, as_text(of.options), of.run_id, of.metric, of.before, of.after) for model, of in by_model)


def _describe_split(split: Split, method: SplitMethod) -> str:
    if method != "time":
        return f"judged by {HELD_OUT[method]}" if split.label_end else "trains on everything"
    judged = f", judged until {split.label_end:%Y-%m-%d %H:%M}" if split.label_end else ""
    return f"trains before {split.cut:%Y-%m-%d %H:%M}{judged}"


def _metrics(run: Run) -> tuple[Metric, ...]:
    return tuple(Metric(**row) for row in run.read("out_metrics").to_pylist())


def _comparisons(run: Run) -> tuple[Comparison, ...]:
    return tuple(Comparison(**row) for row in run.read("out_comparisons").to_pylist())


def _experiments(run: Run) -> tuple[ExperimentResult, ...]:
    """Return the results of experiments; none of a run that has not analysed them."""
    if not store.is_committed(run.dataset("out_experiments")):
        return ()
    return tuple(map(result_of, run.read("out_experiments").to_pylist()))


def _table_comparisons(run: Run) -> tuple[TableComparison, ...]:
    """Return the rows; none for a run that an earlier release has judged, or that was not judged."""
    if not store.is_committed(run.dataset("out_table_comparisons")):
        return ()
    return tuple(TableComparison(**row) for row in run.read("out_table_comparisons").to_pylist())


def _ablations(run: Run) -> tuple[Ablation, ...]:
    return tuple(Ablation(**row) for row in run.read("out_ablation").to_pylist())


def _decision(run: Run) -> tuple[str, tuple[Choice, ...]]:
    """Return the metric that lists are compared by, and what each segment is served with: by the gate's policy once it has one."""
    folder = run.artefact("decision")
    metric = str(json.loads((folder / DECISION).read_text())["metric"])
    if store.is_committed(run.dataset("promotion")):
        folder = run.artefact("promotion") / "policy"
    chosen = read_choices(folder / DECISION)
    return metric, tuple(Choice(segment, choice.name, choice.reason) for segment, choice in sorted(chosen.items()))


def _gate(run: Run) -> Gate | None:
    """Return the verdict; None where a policy serves without a gate, as in a benchmark."""
    path = run.artefact("promotion") / "promotion.json"
    if not path.exists():
        return None
    raw = json.loads(path.read_text())
    return Gate(
        promoted=bool(raw["promoted"]),
        candidate=str(raw["candidate_version"]),
        champion_before=str(raw["champion_before"] or ""),
        serving=str(raw["serving"]),
        reasons=tuple(raw["reasons"]),
        comparisons=tuple(Comparison(**row) for row in raw["comparisons"]),
    )


def _output_checks(run: Run) -> OutputChecks:
    raw = json.loads((run.artefact("output_checks") / "checks.json").read_text())
    checks = [_output_check(output_checks.OutputCheck(**check)) for check in raw["checks"]]
    checks.sort(key=lambda check: check.passed)
    return OutputChecks(bool(raw["passed"]), str(raw["override_reason"] or ""), str(raw["compared_with"] or ""), tuple(checks))


def _output_check(check: output_checks.OutputCheck) -> CheckLine:
    bound = "" if check.limit is None else f", {check.kind.replace('_', ' ')} {check.limit:.4g}"
    return CheckLine(f"{check.name}: {check.meaning}", check.passed, f"{check.value:.4g}{bound}")


class BesideTarget(TypedDict):
    """The target's versions of this run and of the one before."""

    version: Version | None
    before: Before | None
    target_problem: str


def _beside_target(run: Run, facts: Facts) -> BesideTarget:
    """Ask the target only for a night with lists."""
    if not facts.lists:
        return {"version": None, "before": None, "target_problem": ""}
    versions, problem = ask_target(run.settings)
    ours = next((publication for publication in versions if publication.run_id == run.run_id), None)
    earlier = _live_before(versions, ours, facts.output_checks.compared_with if facts.output_checks else "")
    return {
        "version": _version(ours) if ours else None,
        "before": _before(run, ours, earlier) if earlier else None,
        "target_problem": problem,
    }


def _version(publication: Publication) -> Version:
    at = f"{publication.generated_at:%Y-%m-%d %H:%M} UTC"
    return Version(publication.version, publication.state, publication.content_hash, at, publication.notes, dict(publication.counts))


def _live_before(versions: Sequence[Publication], ours: Publication | None, compared_with: str) -> Publication | None:
    """Return the version live at the time of the output check; for a live run, the newest published version before it."""
    if ours is None or compared_with not in ("", ours.version):
        return next((publication for publication in versions if publication.version == compared_with), None)
    older = versions[versions.index(ours) + 1 :]
    return next((publication for publication in older if publication.state in ("live", "kept", "dropped")), None)


def _before(run: Run, ours: Publication | None, earlier: Publication) -> Before:
    try:
        inputs = Run.open(earlier.run_id, run.settings).manifest.inputs
        same = {n: i.content_hash for n, i in inputs.items()} == {n: i.content_hash for n, i in run.manifest.inputs.items()}
    except PermanentError:  # its folder is gone
        same = None
    return Before(earlier.version, earlier.run_id, ours is not None and ours.content_hash == earlier.content_hash, same)


class NewestEvent(TypedDict):
    """The newest event that the models saw, with its age in days."""

    newest_event: str
    newest_event_age_days: float | None


def _newest_event(run: Run, written_at: datetime) -> NewestEvent:
    """Return the newest event of the last split's interactions; empty without a calendar or interactions."""
    import pyarrow.compute as pc

    try:
        newest_by_batch = [
            pc.max(batch.column(0)).as_py() for batch in batches(run, "model_interactions", ["last_event_at"], run.splits[-1])
        ]
    except store.NotCommitted:
        newest_by_batch = []
    if run.config.split != "time" or not newest_by_batch:
        return {"newest_event": "", "newest_event_age_days": None}
    newest = max(newest_by_batch)
    return {"newest_event": f"{newest:%Y-%m-%d %H:%M} UTC", "newest_event_age_days": (written_at - newest).total_seconds() / 86_400}


def _leak_alarms(run: Run) -> LeakAlarms:
    raw = json.loads((run.artefact(FINDINGS) / FINDINGS_FILE).read_text())
    return LeakAlarms(tuple(f"{finding['alarm']}: {finding['detail']}" for finding in raw), *alarm_seconds(run.folder))


def _missing_models(run: Run) -> tuple[str, ...]:
    """Return models that were asked for and take no part in the lists."""
    raw = json.loads((run.artefact("candidate_sources", "full") / "sources.json").read_text())
    return tuple(raw["missing"])


def _indexes(run: Run) -> tuple[Index, ...]:
    """Return the search method of models over a large catalogue; empty for models without a choice or a fit."""
    indexes = []
    for model in run.manifest.models:
        if store.is_committed(run.dataset(f"models/{model}", "full")):
            metrics = json.loads((run.artefact(f"models/{model}", "full") / FIT_FILE).read_text())["metrics"]
            measured = {name.removeprefix("index_"): value for name, value in metrics.items() if name.startswith("index_")}
            indexes += [Index(model, **measured | {"used": bool(measured["used"])})] if measured else []
    return tuple(indexes)


def _categories_unlearnt(run: Run) -> bool:
    """Return whether there are categories that models were not allowed to see."""
    import pyarrow.compute as pc

    items = run.read("model_items", columns=["categories", "learnt_categories"])
    categories, learnt = (pc.sum(pc.list_value_length(items[name])).as_py() or 0 for name in items.column_names)
    return bool(categories > learnt)


def _spark_peak_mib(run: Run) -> float | None:
    """Return the peak that stop_spark noted, or the night's server's so far: it still runs when the report is written."""
    noted = run.folder / "spark_server.json"
    if shared_files.modified(noted) is not None:
        return float(json.loads(shared_files.read_text(noted))["peak_mib"])
    return server_peak_mib(run.settings, run.run_id) or None
