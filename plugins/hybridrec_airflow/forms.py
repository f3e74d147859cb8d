"""The fields of the forms that start a DAG by hand, and how a task reads them.

A field's JSON schema refuses a wrong value before anything runs; what only the data can tell, the first task refuses.
"""

from __future__ import annotations

from airflow.sdk import Param

from hybridrec import discover
from hybridrec.config import Config
from hybridrec.interventions import MAX_REASON

DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
# A run that Airflow dates (scheduled, backfill, asset) sees the world as of its date; a manual one as of the field, or of the newest
# event where it is empty. Airflow's form gives every manual run a date, now, which nobody has asked for.
AS_OF = "{{ params.as_of or ('' if dag_run.run_type == 'manual' else (dag_run.data_interval_end or dag_run.run_after).isoformat()) }}"
BACKFILL = "{{ dag_run.run_type == 'backfill' }}"
# A backfill publishes when its form says so: Airflow's page sends every field, its command line only what was written.
PUBLISH = (
    "{{ params.publish and (dag_run.run_type != 'backfill'"
    " or (params.publish_backfill if 'publish_backfill' in (dag_run.conf or {}) else 'publish' in (dag_run.conf or {}))) }}"
)
K = "{{ params.k or '' }}"
MODELS = "{{ params.models | join(',') }}"
SOURCES = "{{ (params.sources or []) | join(',') }}"


def source() -> Param:
    """Choice of the input data set."""
    found = discover.names("sources")
    default = "movielens_100k" if "movielens_100k" in found else next(iter(found), None)
    text = 'Which data: a file below sources/. "files" reads your own events, items and users from a folder.'
    return Param(default, type="string", enum=list(found), title="Source", description=text)


def as_of() -> Param:
    """Optional point in time that the run must not look past."""
    text = (
        "Date or date and time (UTC unless it says otherwise) that the run must not look past."
        " Empty: the newest event; a scheduled run or a day of a backfill takes its own date."
    )
    return Param(None, type=["null", "string"], pattern=DATE, title="As of", description=text)


def models(text: str = "Base models of this night. One that is left out is missing from candidates, ranker and report.") -> Param:
    """Choice of base models."""
    found = list(discover.names("models"))
    items = {"type": "string", "enum": found}
    return Param(found, type="array", items=items, examples=found, minItems=1, uniqueItems=True, title="Models", description=text)


def k() -> Param:
    """Optional length of a user's list."""
    text = f"Items that each user gets, 1 to 200. Empty: k under [night] in hybridrec.toml, which is {Config().k} where it is not set."
    return Param(None, type=["null", "integer"], minimum=1, maximum=200, title="k", description=text)


def publish() -> Param:
    """Whether the table goes live."""
    text = "Off: everything is computed, checked and reported, and what is live stays live. A backfill needs the next field too."
    return Param(True, type="boolean", title="Publish", description=text)


def publish_backfill() -> Param:
    """Whether the days of a backfill go live."""
    text = (
        "For a backfill only. On: each of its days goes live when it is done, also one older than what is live."
        " Off: its days are judged and reported."
    )
    return Param(False, type="boolean", title="Publish a backfill", description=text)


def override_reason() -> Param:
    """A person's reason to publish although a threshold on the table fails."""
    text = (
        "Why a table is wanted that differs much from what is live, as after a change of source; kept with the version."
        " Empty: a table that fails a check is not published."
    )
    return Param(None, type=["null", "string"], maxLength=300, title="Override reason", description=text)


def trials() -> Param:
    """How many options a search may try."""
    text = "Fits of each model, that of the current options among them, 2 to 200."
    return Param(20, type="integer", minimum=2, maximum=200, title="Trials", description=text)


def seconds() -> Param:
    """How long a search may take."""
    text = "For each model; no trial begins that would probably end later. 10 seconds to 2 hours."
    return Param(600, type="integer", minimum=10, maximum=7200, title="Seconds", description=text)


def origins() -> Param:
    """How many points in time a backtest judges."""
    text = "Points in time, the newest at As of; 2 to 24. Each costs about as much as a night without its publishing."
    return Param(4, type="integer", minimum=2, maximum=24, title="Origins", description=text)


def step_days() -> Param:
    """Distance of a backtest's points in time."""
    return Param(14, type="integer", minimum=1, maximum=365, title="Step", description="Days from one origin to the next, 1 to 365.")


def run() -> Param:
    """The run that is studied; there is no default, since only a person knows which."""
    text = "Id of a run of nightly_retrain that was judged, as its report names it. Its report is written anew with what is found."
    return Param(type="string", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$", title="Run", description=text)


def sources() -> Param:
    """Which models a study leaves out."""
    found = list(discover.names("models"))
    text = "Models to leave out, one at a time. None chosen: every one that the run has."
    items = {"type": "string", "enum": found}
    return Param(None, type=["null", "array"], items=items, examples=found, uniqueItems=True, title="Sources", description=text)


def version() -> Param:
    """Choice of the version to go back to."""
    text = (
        "A kept version, as the table publications names it. Empty: the task choose_version lists those that are kept, with their"
        " dates and figures, and waits for your choice under Required Actions."
    )
    return Param(None, type=["null", "string"], pattern=r"^[A-Za-z0-9_.-]{1,160}$", title="Version", description=text)


def reason() -> Param:
    """Why a person acts; there is no default."""
    text = f"Why, for whoever reads it later; 3 to {MAX_REASON} characters. Kept, and shown by every night that is held."
    return Param(type="string", minLength=3, maxLength=MAX_REASON, title="Reason", description=text)


def action() -> Param:
    """What to do about what is published."""
    choices = {
        "roll_back": "Roll back",
        "roll_back_and_hold": "Roll back, and hold the next publications",
        "hold": "Hold the next publications, change nothing now",
        "lift_hold": "Lift the hold",
    }
    text = "While publications are held, nights are computed, checked and reported, and what is live stays live."
    return Param("roll_back", type="string", enum=list(choices), values_display=choices, title="Action", description=text)
