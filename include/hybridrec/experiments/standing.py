"""Start experiments, freeze them into a night, decide them or send them back, by a person or by a canary's alarm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Literal, NamedTuple, cast

from hybridrec.assignment.variants import CONTROL, Phase, RunningExperiment
from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError, choices
from hybridrec.base.settings import Settings
from hybridrec.experiments.definitions import (
    FOLDER,
    Definition,
    definition_of,
    read_definition,
    require_no_overlap,
    require_not_past,
)
from hybridrec.experiments.outcomes import require_events
from hybridrec.storage import shared_files, store
from hybridrec.versions.experiment_states import AT_WORK, MAX_REASON, ExperimentState, KeepsExperiments, StateChange

Choice = Literal["all", "back"]
OF_ITSELF = "hybridrec"  # who changed a state when no person did


class Act(NamedTuple):
    """An action of a person or of the night: who, why and when."""

    who: str
    reason: str
    at: datetime


def keeper(settings: Settings) -> KeepsExperiments:
    """Return the publish target, which keeps the states beside its versions; PermanentError for one that keeps none."""
    target = extensions.module("targets", settings.target).connect(settings)
    if not hasattr(target, "change_experiment"):
        raise PermanentError(f"the target {settings.target} keeps no states of experiments; publish to sqlite or postgres")
    return cast(KeepsExperiments, target)


def frozen_definition(state: ExperimentState) -> Definition:
    """Return the definition as it was when the experiment was started."""
    return definition_of(json.loads(state.definition), f"experiment {state.experiment}, as it was started")


def at_work(settings: Settings, now: datetime) -> tuple[RunningExperiment, ...]:
    """Return the experiments that lists are made for from now on, by name; without a folder of definitions the target is not asked."""
    if not (settings.home / FOLDER).is_dir():
        return ()
    found = [state for state in keeper(settings).experiments() if state.state in AT_WORK]
    return tuple(as_running(state) for state in found if frozen_definition(state).starts_at <= now)


def as_running(state: ExperimentState) -> RunningExperiment:
    """Return what a night needs of an experiment; a decided one has its winner alone, for everybody."""
    definition = frozen_definition(state)
    phase: Phase = "canary" if state.state == "canary" else "running"
    running = definition.running(state.experiment, phase)
    if state.state != "decided":
        return running
    [winner] = [variant for variant in running.variants if variant.name == state.winner]
    return replace(running, phase="decided", variants=(replace(winner, share=1.0),))


def start(name: str, phase: Literal["canary", "running"], act: Act, source: str, settings: Settings) -> StateChange:
    """Start an experiment, or let a canary become the experiment; PermanentError says why not."""
    where, target = f"experiment {name}", keeper(settings)
    definition = read_definition(name, settings)
    text = definition.model_dump_json()
    states = {state.experiment: state for state in target.experiments()}
    before = states.get(name)
    if before is None:
        others = {other: frozen_definition(state) for other, state in states.items() if state.state in AT_WORK}
        require_not_past(definition, where, act.at)
        require_no_overlap(name, definition, others, where)
        _require_nothing_decided(states.values(), where)
        types = event_types(source, settings)
        for outcome in (definition.outcome, *definition.guardrails):
            require_events(outcome, types, source, where)
        before = ExperimentState(name, "draft", text, act.at, max(act.at, definition.starts_at))
    elif text != before.definition:
        raise PermanentError(
            f"{where}: its file has changed since it was started on {before.started_at:%Y-%m-%d}, and an experiment that has begun stays"
            " as it is: put the file back, or start another one under a new name"
        )
    after = replace(before, state=phase, since=max(act.at, definition.starts_at))
    return _changed(target, before, after, act)


def decide(name: str, choice: Choice, variant: str, act: Act, over: str, settings: Settings) -> StateChange:
    """Give everybody a variant, or everybody the night's own lists again; PermanentError says why not.

    over: why the test is over, as a sentence, "" while it is not; then a person must give a reason.
    """
    target = keeper(settings)
    states = {state.experiment: state for state in target.experiments()}
    if name not in states:
        raise PermanentError(f"experiment {name!r} was never started; {choices(name, states)}")
    before = states[name]
    if before.state == "running" and not over and not act.reason.strip():
        raise PermanentError(
            f"experiment {name}: no bound is crossed and its horizon is not reached, so it would be decided by chance; wait,"
            " or give a reason, which is kept in the log"
        )
    told = act._replace(reason=act.reason.strip() or over)
    if choice == "back":
        return _changed(target, before, replace(before, state="back", since=act.at, winner=""), told)
    variants = [one for one in frozen_definition(before).names if one != CONTROL]
    winner = variant or (variants[0] if len(variants) == 1 else "")
    if winner not in variants:
        raise PermanentError(f"experiment {name}: variant is {variant!r}; {choices(variant, variants)}")
    return _changed(target, before, replace(before, state="decided", since=act.at, winner=winner), told)


def send_back(state: ExperimentState, reason: str, now: datetime, target: KeepsExperiments) -> StateChange:
    """Send a canary back without a person."""
    return _changed(target, state, replace(state, state="back", since=now, winner=""), Act(OF_ITSELF, reason, now))


def event_types(source: str, settings: Settings) -> frozenset[str]:
    """Return the types of the source's events; posted events are among them."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    folder = settings.warehouse(source) / "core_events"
    if not store.is_committed(folder):
        return frozenset()
    files = [str(path) for path in shared_files.fetch(folder / file for file in store.read_manifest(folder).files)]
    types: set[str] = set()
    for batch in ds.dataset(files).to_batches(columns=["event_type"]):
        types.update(pc.unique(batch.column(0)).to_pylist())
    return frozenset(types)


def _changed(target: KeepsExperiments, before: ExperimentState, after: ExperimentState, act: Act) -> StateChange:
    line = StateChange(after.experiment, act.at, act.who, before.state, after.state, act.reason[:MAX_REASON])
    target.change_experiment(after, line)
    return line


def _require_nothing_decided(states: Iterable[ExperimentState], where: str) -> None:
    """Raise PermanentError while everybody gets a decided variant: a control would be another list than everybody's."""
    for state in states:
        if state.state == "decided":
            raise PermanentError(
                f"{where}: everybody gets the variant {state.winner} of {state.experiment}, so a control would not be the night's own list;"
                f" put its options into hybridrec.toml, then send {state.experiment} back with the DAG decide_experiment"
            )
