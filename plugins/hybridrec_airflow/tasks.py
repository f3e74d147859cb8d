"""Tasks that are no jobs: they hand names from one task to the next, or say how the run has ended."""

from __future__ import annotations

from airflow.sdk import get_current_context, task

from hybridrec.runs.run import Run
from hybridrec_airflow.outcomes import require_ended


@task(doc_md="The base models that `open_run` has settled on; the training tasks are made from this list.")
def chosen_models(night: str) -> list[str]:
    """List the names of the run's base models; the argument is the run's id (Airflow keeps the name run_id for its own)."""
    return list(Run.open(night).manifest.models)


@task(doc_md="Numbers of a backtest's origins, 1 is the newest; the judging tasks are made from this list.")
def origin_numbers(n: str) -> list[str]:
    """Return 1 to n as text; the argument is a field of the form."""
    return [str(number) for number in range(1, int(n) + 1)]


@task(doc_md="Those of the run's base models that declare options worth a search; the tuning tasks are made from this list.")
def models_to_tune(run: str) -> list[str]:
    """List the names of the run's base models with a search space; the argument is the run's id."""
    from hybridrec.tuning import search_space

    return [model for model in Run.open(run).manifest.models if search_space(model)]


@task(doc_md="Red unless the run has come to its end: Airflow would call one that a person has marked as failed a success.")
def confirm_outcome(needed: dict[str, list[str]]) -> None:
    """Check the run's tasks against the states in which they must have ended."""
    require_ended(get_current_context(), {name: tuple(states) for name, states in needed.items()})
