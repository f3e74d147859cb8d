"""Keep the results of searches for later nights: `<home>/tuned/<source>/<model>/`, one immutable version a search.

A night takes the newest version of each of its models when it is opened; options in hybridrec.toml go first. To go back
to a model's defaults remove its folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hybridrec.base import extensions
from hybridrec.base.config import Config, Options
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.runs.run import Run, Tuned
from hybridrec.storage import store
from hybridrec.training.fits import config_of
from hybridrec.tuning.trials import SearchResult
from hybridrec.types import TrainingData

log = logging.getLogger(__name__)
FILE = "tuned.json"
KEEP_VERSIONS = 10  # earlier ones, as a history of changes


def store_result(run: Run, result: SearchResult, data: TrainingData) -> Path:
    """Commit what a search on a run's data has found as the newest version; returns its file."""
    after = result.best_ndcg if result.improved else result.current_ndcg
    tuned = Tuned(
        options=result.options,
        run_id=run.run_id,
        as_of=run.manifest.as_of,
        metric=result.metric,
        before=result.current_ndcg,
        after=after,
        n_users=result.n_users,
        n_trials=len(result.trials),
    )
    folder = run.settings.tuned(run.manifest.source) / result.model
    with store.staged(folder, KEEP_VERSIONS) as attempt:
        store.write_json(attempt / FILE, {"tuned": asdict(tuned), **_evidence(result, data)})
    return store.committed_folder(folder) / FILE


def _evidence(result: SearchResult, data: TrainingData) -> dict[str, Any]:
    """Return the figures behind the choice; no times, because equal searches must give equal files."""
    trials = [
        {"options": trial.options, "ndcg": None if trial.refused else trial.ndcg, "refused": trial.refused} for trial in result.trials
    ]
    comparison = {"improved": result.improved, "difference": result.difference, "standard_error": result.standard_error}
    return {"split": data.split, "data": data_fingerprint(data), **comparison, "trials": trials}


def data_fingerprint(data: TrainingData) -> str:
    """Return SHA-256 of the pairs that a search has seen."""
    digest = hashlib.sha256(f"{data.matrix.shape} {data.split}".encode())
    for array in (data.matrix.indptr.astype("int64"), data.matrix.indices, data.matrix.data, data.last_event_day):
        digest.update(array.tobytes())
    return digest.hexdigest()


def tuned_models(settings: Settings, source: str, as_of: datetime, config: Config, models: Iterable[str]) -> dict[str, Tuned]:
    """Return the tuned options for a night of that time and configuration, by model, without options of hybridrec.toml."""
    tuned_by_model = {}
    for model in models:
        folder = settings.tuned(source) / model
        if store.is_committed(folder) and (tuned := _fitting(folder, model, as_of, config)):
            by_hand = config.options("models", model)
            tuned_by_model[model] = replace(tuned, options={name: value for name, value in tuned.options.items() if name not in by_hand})
    return {model: tuned for model, tuned in tuned_by_model.items() if tuned.options}


def with_tuned(config: Config, tuned: dict[str, Tuned]) -> Config:
    """Return the configuration with these options beside those of hybridrec.toml."""
    models = dict(config.extension_options.get("models", {}))
    for model, of_model in tuned.items():
        models[model] = {**of_model.options, **models.get(model, {})}
    return replace(config, extension_options={**config.extension_options, "models": models}) if tuned else config


def set_by_hand(run: Run, model: str) -> Options:
    """Return a model's options of this run that come from hybridrec.toml."""
    tuned = run.manifest.tuned[model].options if model in run.manifest.tuned else {}
    return {name: value for name, value in run.config.options("models", model).items() if name not in tuned}


def _fitting(folder: Path, model: str, as_of: datetime, config: Config) -> Tuned | None:
    """Return the newest version; None, with the reason in the log, where a night of that time and configuration cannot use it."""
    from pydantic import TypeAdapter

    raw = json.loads((store.committed_folder(folder) / FILE).read_text())
    tuned = TypeAdapter(Tuned).validate_python(raw["tuned"])
    reason = ""
    if raw["split"] != config.split:
        reason = f"they are for split {raw['split']}, not {config.split}"
    elif tuned.as_of > as_of:
        reason = f"their search has seen events up to {tuned.as_of}, which this run must not look at"
    else:
        try:
            config_of(model, tuned.options)
        except PermanentError as error:
            reason = f"they no longer fit the model, run tune_models again: {error}"
        else:
            gone = sorted(set(tuned.options) - set(getattr(extensions.module("models", model), "SEARCH", {})))
            reason = f"{', '.join(gone)} is searched no more" if gone else ""
    if reason:
        log.warning("%s: tuned options are left aside: %s", model, reason)
    return None if reason else tuned
