"""The lists of each surface in numbers, read batch by batch, and what is known of lists that were served."""

from __future__ import annotations

from collections import Counter

import pyarrow.compute as pc

from hybridrec.base.surfaces import ANYBODY, Surface
from hybridrec.feedback.figures import read_figures
from hybridrec.ingest.findings import read_findings
from hybridrec.ingest.served import FINDINGS
from hybridrec.report.gathering.list_figures import batches
from hybridrec.report.list_facts import Feedback, SurfaceLists
from hybridrec.runs.run import Run
from hybridrec.storage import store

HISTORY = {"new": "new to the user", "again": "from the user's history"}


def surface_figures(run: Run) -> tuple[SurfaceLists, ...]:
    """Return figures of each surface, by name; none for a run without surfaces, or whose lists are not made."""
    if not store.is_committed(run.dataset("out_surface_lists")):
        return ()
    by_how: dict[str, Counter[str]] = {name: Counter() for name in run.config.surfaces}
    full, places, empty = Counter[str](), Counter[str](), Counter[str]()
    items: dict[str, set[str]] = {name: set() for name in run.config.surfaces}
    for batch in batches(run, "out_surface_lists", ["surface", "user_id", "item_ids", "reason", "shortfall"]):
        of_users = batch.filter(pc.not_equal(batch["user_id"], ANYBODY))
        for name in by_how.keys() & set(pc.unique(of_users["surface"]).to_pylist()):  # not the plain lists of users with a variant
            own = of_users.filter(pc.equal(of_users["surface"], name))
            listed = own["item_ids"].flatten()
            some = pc.greater(pc.list_value_length(own["item_ids"]), 0)
            by_how[name].update(own.filter(some)["reason"].to_pylist())
            empty[name] += own.num_rows - int(pc.sum(some).as_py() or 0)
            full[name] += own["shortfall"].null_count
            places[name] += len(listed)
            items[name].update(pc.unique(listed).to_pylist())
    return tuple(
        SurfaceLists(
            name=name,
            k=run.config.on_surface(name).k,
            rules=_rules(surface),
            n_users=by_how[name].total() + empty[name],
            n_full=full[name],
            n_places=places[name],
            n_items=len(items[name]),
            n_empty=empty[name],
            by_how=dict(sorted(by_how[name].items())),
        )
        for name, surface in sorted(run.config.surfaces.items())
    )


def feedback(run: Run) -> Feedback | None:
    """Return what is known of the lists that were served; None if none was before the run."""
    figures = read_figures(run)
    if figures is None:
        return None
    found = read_findings(run.settings.warehouse(run.manifest.source), FINDINGS)
    return Feedback(figures, found.notes, found.refused)


def _rules(surface: Surface) -> tuple[str, ...]:
    told = [HISTORY[surface.history]] if surface.history in HISTORY else []
    told += [f"only {', '.join(surface.only_categories)}"] if surface.only_categories else []
    told += [f"no {', '.join(surface.not_categories)}"] if surface.not_categories else []
    told += [f"without the rule {name}" for name in surface.without_rules]
    told += [f"{rule}: {', '.join(f'{name} {value}' for name, value in options.items())}" for rule, options in surface.rules.items()]
    return tuple(told)
