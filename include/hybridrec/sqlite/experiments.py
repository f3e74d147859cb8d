"""The tables `experiment_state` and `experiment_log`: a row an experiment, a row a change."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from contextlib import AbstractContextManager
from datetime import datetime

from hybridrec.base.errors import NothingPublished
from hybridrec.sqlite.connecting import transaction
from hybridrec.versions.experiment_states import LOG_FIELDS, STATE_FIELDS, ExperimentState, StateChange, require_change

STATES = """
CREATE TABLE IF NOT EXISTS experiment_state (
    experiment TEXT PRIMARY KEY, state TEXT NOT NULL, definition TEXT NOT NULL, since TEXT NOT NULL, started_at TEXT NOT NULL,
    winner TEXT NOT NULL
) WITHOUT ROWID
"""
LOG = """
CREATE TABLE IF NOT EXISTS experiment_log (
    number INTEGER PRIMARY KEY AUTOINCREMENT, experiment TEXT NOT NULL, at TEXT NOT NULL, who TEXT NOT NULL, former TEXT NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL
)
"""
# The database refuses every change of the past.
ONLY_ADDED = [
    f"CREATE TRIGGER IF NOT EXISTS experiment_log_no_{act.lower()} BEFORE {act} ON experiment_log"
    " BEGIN SELECT RAISE(ABORT, 'experiment_log is only added to'); END"
    for act in ("UPDATE", "DELETE")
]
WENT_BACK = "SELECT 1 FROM experiment_state WHERE experiment = ? AND state = 'back'"


class ExperimentStates:
    """The part of the target that keeps states of experiments; see hybridrec.versions.experiment_states.KeepsExperiments."""

    @abstractmethod
    def _writer(self) -> AbstractContextManager[sqlite3.Connection]: ...

    @abstractmethod
    def _reader(self) -> AbstractContextManager[sqlite3.Connection]: ...

    @abstractmethod
    def _looking_up(self) -> AbstractContextManager[sqlite3.Connection]: ...

    def experiments(self) -> list[ExperimentState]:
        """Return the states of all experiments that were ever started, by name."""
        try:
            with self._reader() as db:
                return states(db)
        except NothingPublished:  # there is no file
            return []

    def experiment_log(self, experiment: str = "") -> list[StateChange]:
        """Return the log, oldest first, for one experiment or for all."""
        try:
            with self._reader() as db:
                return log(db, experiment)
        except NothingPublished:
            return []

    def change_experiment(self, after: ExperimentState, line: StateChange) -> None:
        """Write state and log in one transaction."""
        with self._writer() as db:
            change(db, after, line)

    def went_back(self, experiment: str) -> bool:
        """Return whether readers should get the night's own list again."""
        try:
            with self._looking_up() as db:
                return db.execute(WENT_BACK, (experiment,)).fetchone() is not None
        except NothingPublished:  # a file without the table has never had an experiment
            return False


def create(db: sqlite3.Connection) -> None:
    """Make the tables unless they are there."""
    for statement in (STATES, LOG, *ONLY_ADDED):
        db.execute(statement)


def states(db: sqlite3.Connection) -> list[ExperimentState]:
    """Return all states; none from a file of an earlier release."""
    rows = db.execute(f"SELECT {STATE_FIELDS} FROM experiment_state ORDER BY experiment") if _there(db) else ()  # noqa: S608
    return [
        ExperimentState(name, state, text, datetime.fromisoformat(since), datetime.fromisoformat(started), winner)
        for name, state, text, since, started, winner in rows
    ]


def log(db: sqlite3.Connection, experiment: str) -> list[StateChange]:
    """Return the log, oldest first."""
    query = f"SELECT {LOG_FIELDS} FROM experiment_log WHERE ? IN ('', experiment) ORDER BY number"  # noqa: S608
    rows = db.execute(query, (experiment,)) if _there(db) else ()
    return [StateChange(name, datetime.fromisoformat(at), *others) for name, at, *others in rows]


def change(db: sqlite3.Connection, after: ExperimentState, change: StateChange) -> None:
    """Write state and log in one transaction."""
    with transaction(db):
        row = db.execute("SELECT state FROM experiment_state WHERE experiment = ?", (after.experiment,)).fetchone()
        require_change(row[0] if row else "draft", change)
        values = (after.experiment, after.state, after.definition, after.since.isoformat(), after.started_at.isoformat(), after.winner)
        db.execute(f"INSERT OR REPLACE INTO experiment_state ({STATE_FIELDS}) VALUES (?, ?, ?, ?, ?, ?)", values)  # noqa: S608
        line = (change.experiment, change.at.isoformat(), change.who, change.former, change.state, change.reason)
        db.execute(f"INSERT INTO experiment_log ({LOG_FIELDS}) VALUES (?, ?, ?, ?, ?, ?)", line)  # noqa: S608


def _there(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiment_log'").fetchone() is not None
