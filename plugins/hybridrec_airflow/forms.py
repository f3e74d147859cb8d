"""Define the fields of the forms that start a DAG by hand, and what a task reads of its run: AS_OF is the date of a scheduled run too.

A field's JSON schema refuses a wrong value before anything runs; values that only the data can contradict are refused by the first task.
"""

from __future__ import annotations

from airflow.sdk import Param

from hybridrec.base import extensions
from hybridrec.base.config import Config
from hybridrec.publishing.interventions import MAX_REASON

DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
# A run that Airflow dates (scheduled, backfill, asset) sees the world as of its date; a manual one as of the field, or of the newest
# event where it is empty. Airflow's form gives every manual run the present date without being asked.
AS_OF = "{{ params.as_of or ('' if dag_run.run_type == 'manual' else (dag_run.data_interval_end or dag_run.run_after).isoformat()) }}"
BACKFILL = "{{ dag_run.run_type == 'backfill' }}"
# A backfill publishes when its form says so: Airflow's page sends every field, its command line only what was written.
PUBLISH = (
    "{{ params.publish and (dag_run.run_type != 'backfill'"
    " or (params.publish_backfill if 'publish_backfill' in (dag_run.conf or {}) else 'publish' in (dag_run.conf or {}))) }}"
)
K = "{{ params.k or '' }}"
MODELS = "{{ params.models | join(',') }}"
LEFT_OUT = "{{ (params.sources or []) | join(',') }}"


def source() -> Param:
    """Return the choice of the input data set."""
    names = extensions.names("sources")
    default = "movielens_100k" if "movielens_100k" in names else next(iter(names), None)
    text = 'The data set. "files" reads your own events, items and users from the folder that HYBRIDREC_FILES names.'
    return Param(default, type="string", enum=list(names), title="Source", description=text)


def as_of() -> Param:
    """Return the optional point in time that the run must not look past."""
    text = (
        "Date, or date and time (UTC unless a zone is given). Later events are ignored."
        " Empty: up to the newest event; scheduled runs and backfills take their own date."
    )
    return Param(None, type=["null", "string"], pattern=DATE, title="As of", description=text)


def models(text: str = "Base models of this night. A model that you remove is missing from candidates, ranker and report.") -> Param:
    """Return the choice of base models."""
    names = list(extensions.names("models"))
    items = {"type": "string", "enum": names}
    return Param(names, type="array", items=items, examples=names, minItems=1, uniqueItems=True, title="Models", description=text)


def k() -> Param:
    """Return the optional length of a user's list."""
    text = f"Items per user, 1 to 200. Empty: the option k under [night] in hybridrec.toml ({Config().k} if it is not set)."
    return Param(None, type=["null", "integer"], minimum=1, maximum=200, title="k", description=text)


def publish() -> Param:
    """Return whether the table goes live."""
    text = "Off: everything is computed, checked and reported, and the live version stays live. A backfill needs the next field too."
    return Param(True, type="boolean", title="Publish", description=text)


def publish_backfill() -> Param:
    """Return whether the days of a backfill go live."""
    text = (
        "For backfills only. On: each day goes live when it is done, even if it is older than the live version."
        " Off: the days are judged and reported, and not published."
    )
    return Param(False, type="boolean", title="Publish a backfill", description=text)


def override_reason() -> Param:
    """Return a person's reason to publish although a threshold on the table fails."""
    text = (
        "Why a large change from the live table is intended, for example a new source; stored with the version."
        " Empty: a table that fails a check is not published."
    )
    return Param(None, type=["null", "string"], maxLength=300, title="Override reason", description=text)


def trials() -> Param:
    """Ask for the number of trials of a search."""
    text = "Fits per model, including one with the current options; 2 to 200."
    return Param(20, type="integer", minimum=2, maximum=200, title="Trials", description=text)


def seconds() -> Param:
    """Ask for the time limit of a search."""
    text = "Time limit per model, 10 to 7200 seconds. Trials likely to exceed it are not started."
    return Param(600, type="integer", minimum=10, maximum=7200, title="Seconds", description=text)


def origins() -> Param:
    """Ask for the number of points in time of a backtest."""
    text = "Number of points in time, 2 to 24; the newest is As of. Each costs about as much as a night without publishing."
    return Param(4, type="integer", minimum=2, maximum=24, title="Origins", description=text)


def step_days() -> Param:
    """Return the distance of a backtest's points in time."""
    return Param(14, type="integer", minimum=1, maximum=365, title="Step", description="Days from one origin to the next, 1 to 365.")


def run() -> Param:
    """Return the run that is studied; there is no default, since only a person knows which."""
    text = "Id of a run of nightly_retrain that reached its evaluation, as its report shows it. The results are added to that report."
    return Param(type="string", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$", title="Run", description=text)


def left_out() -> Param:
    """Ask for the models that a study leaves out."""
    names = list(extensions.names("models"))
    text = "Models to leave out, one at a time. Empty: each model of the run."
    items = {"type": "string", "enum": names}
    return Param(None, type=["null", "array"], items=items, examples=names, uniqueItems=True, title="Models", description=text)


def version() -> Param:
    """Return the choice of the version to go back to."""
    text = (
        "Name of a kept version, as in the table publications. Empty: the task choose_version lists the kept versions with their"
        " dates and figures, and waits for your choice under Required Actions."
    )
    return Param(None, type=["null", "string"], pattern=r"^[A-Za-z0-9_.-]{1,160}$", title="Version", description=text)


def reason(use: str = "Stored, and shown by each night that is held.") -> Param:
    """Ask for a person's reason; there is no default. use: what becomes of it."""
    text = f"Why you do this, 3 to {MAX_REASON} characters. {use}"
    return Param(type="string", minLength=3, maxLength=MAX_REASON, title="Reason", description=text)


def action() -> Param:
    """Ask for the action on the published versions."""
    choices = {
        "roll_back": "Roll back",
        "roll_back_and_hold": "Roll back, and hold the next publications",
        "hold": "Hold the next publications, change nothing now",
        "lift_hold": "Lift the hold",
    }
    text = "While publications are held, nights are computed, checked and reported, and the live version stays live."
    return Param("roll_back", type="string", enum=list(choices), values_display=choices, title="Action", description=text)


def experiment() -> Param:
    """Ask for an experiment by its name; the files are on the machine of the tasks, so there is no list to choose from."""
    text = "Name of a file below experiments/ in the home folder, without .toml; the report lists those that were started."
    return Param(type="string", pattern=r"^[a-z][a-z0-9_]{0,39}$", title="Experiment", description=text)


def phase() -> Param:
    """Ask how an experiment starts."""
    choices = {"canary": "Canary: at most 5 % for each variant, goes back by itself", "running": "Running: all of its shares"}
    text = "Start with a canary. A canary that has done no harm goes on as Running; no user moves to another variant."
    return Param("canary", type="string", enum=list(choices), values_display=choices, title="Phase", description=text)


def choice() -> Param:
    """Ask how an experiment ends; there is no default."""
    choices = {"all": "All: everybody gets the variant", "back": "Back: everybody gets the night's own lists"}
    text = "Back is in effect with the next look-up, All with the next night."
    return Param(type="string", enum=list(choices), values_display=choices, title="Choice", description=text)


def variant() -> Param:
    """Ask for the variant that everybody gets."""
    text = "Empty: the only one besides the control. Needed for All if there are several."
    return Param(None, type=["null", "string"], pattern=r"^[a-z][a-z0-9_]{0,39}$", title="Variant", description=text)


def why_now() -> Param:
    """Ask for a reason, which is needed before the test is over."""
    text = f"Empty: allowed once a bound is crossed or the horizon is reached. At most {MAX_REASON} characters, kept in the log."
    return Param(None, type=["null", "string"], maxLength=MAX_REASON, title="Reason", description=text)
