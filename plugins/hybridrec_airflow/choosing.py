"""A task that waits for a person: which kept version goes live again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowSkipException

from hybridrec.base.settings import Settings
from hybridrec_airflow.outcomes import JobRefused

if TYPE_CHECKING:
    from airflow.sdk import Context

LEAVE = "Leave everything as it is"
ANSWER_WITHIN = timedelta(hours=12)
ROLL_BACK = ("roll_back", "roll_back_and_hold")


class ChooseVersion(HITLOperator):
    """Returns the version of the form, or the one that a person chooses from those that are kept; empty for an action that needs none.

    The kept versions are requested from the target when the task runs: a form's choices are fixed when the DAG is read.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            subject="Which version shall go live again?", options=[LEAVE], response_timeout=ANSWER_WITHIN, retries=0, **options
        )

    def execute(self, context: Context) -> str:
        """Return at once what the form says; else ask and wait. JobRefused when there is nothing to choose from."""
        form = context["params"]
        if form["version"] or form["action"] not in ROLL_BACK:
            return str(form["version"] or "")
        self.body, labels = _kept()
        self.options = [*labels, LEAVE]
        return str(super().execute(context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Return the version of the chosen label; the job that follows checks it again."""
        if "error" in event:
            self.process_trigger_event_error(event)
        chosen = event["chosen_options"][0]
        if chosen == LEAVE:
            raise AirflowSkipException("nothing was chosen; the live version stays live")
        return str(chosen).split()[0]


def _kept() -> tuple[str, list[str]]:
    """Return the kept versions as a table, and a label for each."""
    from hybridrec.publishing.kept_versions import as_markdown, kept_versions, with_figures
    from hybridrec.publishing.publish import live_publication
    from hybridrec.serving.lookup import open_target

    settings = Settings.from_env()
    target = open_target(settings)
    versions, live = kept_versions(target, settings), live_publication(target.versions())
    if not versions or live is None:
        raise JobRefused("there is nothing to go back to: no version is kept beside the live one")
    now = f"Live now: `{live.version}` of {live.generated_at:%Y-%m-%d %H:%M}, run {live.run_id}. Times are UTC."
    return f"{now}\n\n{as_markdown([with_figures(live, settings), *versions])}", [version.label for version in versions]
