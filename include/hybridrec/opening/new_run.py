"""Open a run: everything that could differ between two attempts is resolved once.

The date as_of comes with the request: for a scheduled run plugins/hybridrec_airflow/forms.py (AS_OF) takes it from Airflow. `_as_of` limits
it to the newest event.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from hybridrec.base import extensions
from hybridrec.base.config import FOR_EVER, MAX_K, NIGHT, SURFACES, Config, SplitMethod, read_config, require_known_options
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.experiments.standing import at_work
from hybridrec.opening.earlier import earlier_run
from hybridrec.runs.run import MANIFEST, Input, Run, RunManifest, run_folder
from hybridrec.splitting import likes, purposes, visits, windows
from hybridrec.splitting.cuts import HOUR, cut_splits, positive_events_per_hour, user_spans
from hybridrec.storage import shared_files, store
from hybridrec.storage.fingerprints import code_version
from hybridrec.tuning.tuned import tuned_models, with_tuned

if TYPE_CHECKING:
    import pyarrow.compute as pc

log = logging.getLogger(__name__)
CORE_TABLES = ("core_events", "core_items", "core_users")
SERVED = "core_served"  # there is none before the look-up has served the source's lists


@dataclass(frozen=True)
class Request:
    """Request of a person or the schedule; None and empty mean the default.

    judge_only: without the full split, for a run that is judged and has nothing to publish.
    backfill: the run stands for a day of the past; if it publishes, then because its form says so, even if older than the live version.
    """

    run_id: str
    source: str
    as_of: str | None = None
    models: tuple[str, ...] = ()
    k: int | None = None
    publish: bool = True
    judge_only: bool = False
    backfill: bool = False


def open_run(request: Request, settings: Settings, now: datetime | None = None) -> Run:
    """Return the run of that id; made from the request unless an earlier attempt has made it.

    now: experiments that have begun by then are at work in a run that publishes; None for none of them.
    A backfill may take up a run that the schedule has opened: it keeps all that was resolved, and publishes only by request.
    """
    if shared_files.modified(run_folder(settings, request.run_id) / MANIFEST) is not None:
        run = Run.open(request.run_id, settings)
        if request.backfill and not run.manifest.backfill:
            taken_up = replace(run.manifest, publish=request.publish, backfill=True)
            shared_files.write_text(run.folder / MANIFEST, store.as_json(asdict(taken_up)))
        return Run.open(request.run_id, settings)
    config = _config(request, settings)
    models = _models(request.models)
    inputs = _inputs(request.source, settings)
    events = settings.warehouse(request.source) / "core_events"
    files = [str(path) for path in shared_files.fetch(events / name for name in inputs["core_events"].files)]
    config = likes.resolved(config, files)
    hours, counts = positive_events_per_hour(files, config)
    as_of = _as_of(request.as_of, files)
    before = hours < (as_of.timestamp() // 3600) + 1
    every = max(1, inputs["core_events"].rows // purposes.SAMPLED_EVENTS)
    splits = cut_splits(hours[before], counts[before], as_of, config, lambda end: user_spans(files, config, end, every))
    window = splits["ranker"].cut, splits["holdout"].cut  # the labels of the holdout split have no say
    consumables, vectors = _of_catalogue(inputs["core_items"], settings.warehouse(request.source))
    config, repeats, shares = purposes.settled(config, files, inputs["core_events"].rows, window, consumables)
    _require_repeats(config, repeats)
    _require_categories(config, inputs["core_items"], settings.warehouse(request.source))
    event_types = visits.types_of(config, files, as_of)
    window_hours = windows.best_window(config, files, splits["ranker"])
    models = _possible(models, {"repeats": repeats, "vectors": vectors, "types": bool(event_types)})
    if request.judge_only:
        del splits["full"]
    tuned = tuned_models(settings, request.source, as_of, config, models)
    config = with_tuned(config, tuned)
    return Run.create(
        RunManifest(
            run_id=request.run_id,
            source=request.source,
            as_of=as_of,
            models=models,
            publish=request.publish,
            code_version=code_version(),
            splits=splits,
            inputs=inputs,
            config=config,
            tuned=tuned,
            backfill=request.backfill,
            repeats=repeats,
            repeat_shares=shares,
            vectors=vectors,
            window_hours=window_hours,
            event_types=event_types,
            experiments=at_work(settings, now) if now and request.publish and not request.backfill else (),
            earlier=earlier_run(request.source, as_of, config.split, settings),
        ),
        settings,
    )


def _config(request: Request, settings: Settings) -> Config:
    path = settings.home / "hybridrec.toml"
    config = read_config(path)
    require_known_options(config, str(path))
    config = config if request.k is None else replace(config, k=request.k)
    if config.split not in get_args(SplitMethod):
        raise PermanentError(f"[night]: split is {config.split!r}; choose from {', '.join(get_args(SplitMethod))}")
    if not 1 <= config.k <= MAX_K:
        raise PermanentError(f"k is {config.k}, expected 1 to {MAX_K}: the number of items that a user gets")
    if not 0 < config.attribution_days <= FOR_EVER:
        raise PermanentError(f"[night]: attribution_days is {config.attribution_days:g}, expected more than 0 days")
    return config


def _require_repeats(config: Config, repeats: bool) -> None:
    """Raise PermanentError for a surface of repeats in a night without them: all of its lists would be empty."""
    for name, surface in config.surfaces.items():
        if surface.history == "again" and not repeats:
            raise PermanentError(
                f"hybridrec.toml [{SURFACES}.{name}]: history is 'again', but every item of a user's history is one that they had, so"
                " all lists would be empty; give a type of events fewer days in [night.had_days], or remove the surface"
            )


def _require_categories(config: Config, items: Input, warehouse: Path) -> None:
    """Raise PermanentError for a category in the options that no item has; reads the catalogue once, and only if any is named."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    named = dict.fromkeys(config.consumable_categories, f"[{NIGHT}] consumable_categories")
    for name, surface in config.surfaces.items():
        named |= dict.fromkeys((*surface.only_categories, *surface.not_categories), f"[{SURFACES}.{name}]")
    if not named:
        return
    data = ds.dataset([str(path) for path in shared_files.fetch(warehouse / "core_items" / name for name in items.files)])
    found: set[str] = set()
    for batch in data.to_batches(columns=["categories"]):
        found.update(pc.unique(batch["categories"].flatten()).to_pylist())
    for category, where in named.items():
        if category not in found:
            raise PermanentError(
                f"hybridrec.toml {where}: no item of the catalogue has the category {category!r}; correct it, or remove it there"
            )


def _models(asked: tuple[str, ...]) -> tuple[str, ...]:
    known = extensions.names("models")
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise PermanentError(f"models: there is no {', '.join(unknown)}; choose from {', '.join(known)}")
    required = {name for name in known if extensions.module("models", name).REQUIRED}
    return tuple(sorted(set(asked) | required)) if asked else known


def _inputs(source: str, settings: Settings) -> dict[str, Input]:
    extensions.module("sources", source)
    inputs = {}
    for name in CORE_TABLES:
        folder = settings.warehouse(source) / name
        if not store.is_committed(folder):
            waits = "no state of it has passed its check yet; look at the task check_table of the DAG ingest"
            reason = waits if store.pending(folder) else "nothing ingested yet; run the DAG ingest with this source first"
            raise PermanentError(f"{name} of source {source}: {reason}")
        inputs[name] = _input(folder)
    if store.is_committed(settings.warehouse(source) / SERVED):
        inputs[SERVED] = _input(settings.warehouse(source) / SERVED)
    return inputs


def _input(folder: Path) -> Input:
    manifest = store.read_manifest(folder)
    return Input(manifest.files, manifest.rows, manifest.content_hash)


def _possible(models: tuple[str, ...], has: Mapping[str, bool]) -> tuple[str, ...]:
    """Return the models that find what they need; has: what models may need, and whether the night has it."""
    possible = []
    for name in models:
        needs: tuple[str, ...] = getattr(extensions.module("models", name), "NEEDS", ())
        if unknown := sorted(set(needs) - set(has)):
            raise PermanentError(f"models.{name}: NEEDS names {', '.join(unknown)}; choose from {', '.join(sorted(has))}")
        if lacking := [need for need in needs if not has[need]]:
            log.info("models.%s: left out, since this night has no %s", name, " and no ".join(lacking))
        else:
            possible.append(name)
    return tuple(possible)


def _of_catalogue(items: Input, warehouse: Path) -> tuple[bool, bool]:
    """Return whether the catalogue calls any item consumable, and whether it gives any a vector."""
    import pyarrow.compute as pc

    consumables = _any(items, warehouse, "is_consumable", pc.field("is_consumable"))
    return consumables, _any(items, warehouse, "vector", pc.list_value_length(pc.field("vector")) > 0)


def _any(items: Input, warehouse: Path, column: str, wanted: pc.Expression) -> bool:
    """Return whether the catalogue has a row that is wanted by that column."""
    import pyarrow.dataset as ds

    data = ds.dataset([str(path) for path in shared_files.fetch(warehouse / "core_items" / name for name in items.files)])
    if column not in data.schema.names:  # of an ingest before there was such a column
        return False
    found: int = data.head(1, columns=["item_id"], filter=wanted).num_rows
    return found > 0


def _as_of(asked: str | None, files: list[str]) -> datetime:
    """Return the end of what the run may see: what was asked, but not later than just behind the newest event."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    extremes = [pc.min_max(batch.column(0)) for batch in ds.dataset(files).to_batches(columns=["event_at"]) if batch.num_rows]
    first: datetime = min(extreme["min"].as_py() for extreme in extremes)
    latest: datetime = max(extreme["max"].as_py() for extreme in extremes)
    newest = latest.replace(microsecond=0) + timedelta(seconds=1)
    if asked is None:
        return newest
    try:
        wanted = datetime.fromisoformat(asked)
    except ValueError:
        raise PermanentError(f"as_of is {asked!r}, expected a date or time as 2026-01-31 or 2026-01-31T04:00:00+00:00") from None
    wanted = wanted.replace(tzinfo=UTC) if wanted.tzinfo is None else wanted.astimezone(UTC)
    if wanted <= first + HOUR:
        raise PermanentError(f"as_of is {wanted}, but the first event is of {first}; choose a later time, at most {newest}")
    if wanted > newest:
        log.info("as_of %s is behind the newest event; the run uses %s", wanted.isoformat(), newest.isoformat())
    return min(wanted, newest)
