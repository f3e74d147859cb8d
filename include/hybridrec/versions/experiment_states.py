"""States of experiments, beside the published versions: what a look-up, a night and a person need to agree on.

A state and its line in the log change in one transaction. The log is only ever added to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from hybridrec.base.errors import PermanentError

StateName = Literal["draft", "canary", "running", "decided", "back"]
FOLLOWING: dict[StateName, tuple[StateName, ...]] = {
    "draft": ("canary", "running"),
    "canary": ("running", "back"),
    "running": ("decided", "back"),
    "decided": ("back",),
    "back": (),
}
AT_WORK: tuple[StateName, ...] = ("canary", "running", "decided")
MAX_REASON = 300
# Columns of both tables, in their order; `number` counts the lines of the log.
STATE_FIELDS = "experiment, state, definition, since, started_at, winner"
LOG_FIELDS = "experiment, at, who, former, state, reason"


@dataclass(frozen=True)
class ExperimentState:
    """State of an experiment. definition: as JSON, frozen when it was started. since: of this state; started_at: of the first one at work.

    winner: the variant that everybody gets, of a decided one; else empty.
    """

    experiment: str
    state: StateName
    definition: str
    since: datetime
    started_at: datetime
    winner: str = ""


@dataclass(frozen=True)
class StateChange:
    """A line of the log: who changed what, when and why."""

    experiment: str
    at: datetime
    who: str
    former: StateName
    state: StateName
    reason: str

    @property
    def sentence(self) -> str:
        """The change as a sentence."""
        return f"{self.who} changed {self.experiment} from {self.former} to {self.state} on {self.at:%Y-%m-%d at %H:%M} UTC: {self.reason}"


class KeepsExperiments(Protocol):
    """A target that keeps states of experiments; those of this library do."""

    def experiments(self) -> list[ExperimentState]:
        """Return the states of all experiments that were ever started, by name."""

    def change_experiment(self, after: ExperimentState, line: StateChange) -> None:
        """Write state and log in one transaction; PermanentError if the former state is another one by now, or must not be left so."""

    def experiment_log(self, experiment: str = "") -> list[StateChange]:
        """Return the log, oldest first, for one experiment or for all."""

    def went_back(self, experiment: str) -> bool:
        """Return whether readers should get the night's own list again, by one indexed query."""


def require_change(former: StateName, change: StateChange) -> None:
    """Raise PermanentError unless the change may follow the state that is stored."""
    if former != change.former:
        raise PermanentError(f"experiment {change.experiment} is {former} by now, not {change.former}; look at it again")
    if change.state not in FOLLOWING[former]:
        allowed = ", ".join(FOLLOWING[former]) or "nothing; start a new experiment under another name"
        raise PermanentError(f"experiment {change.experiment} is {former}: it cannot become {change.state}, expected {allowed}")
    if not 0 < len(change.reason.strip()) <= MAX_REASON:
        raise PermanentError(f"reason is {change.reason[:40]!r}; say in 1 to {MAX_REASON} characters why")
