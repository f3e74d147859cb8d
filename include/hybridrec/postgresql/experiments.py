"""The tables `experiment_state` and `experiment_log`: a row an experiment, a row a change."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hybridrec.base.errors import NothingPublished
from hybridrec.postgresql.connecting import transaction
from hybridrec.postgresql.version_tables import quoted
from hybridrec.versions.experiment_states import LOG_FIELDS, STATE_FIELDS, ExperimentState, StateChange, require_change

if TYPE_CHECKING:
    from psycopg import Connection

TABLES = """
CREATE TABLE IF NOT EXISTS hybridrec.experiment_state (
    experiment text COLLATE "C" PRIMARY KEY, state text NOT NULL, definition text NOT NULL, since timestamptz NOT NULL,
    started_at timestamptz NOT NULL, winner text NOT NULL
);
CREATE TABLE IF NOT EXISTS hybridrec.experiment_log (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, experiment text NOT NULL, at timestamptz NOT NULL, who text NOT NULL,
    former text NOT NULL, state text NOT NULL, reason text NOT NULL
);
CREATE OR REPLACE RULE experiment_log_no_update AS ON UPDATE TO hybridrec.experiment_log DO INSTEAD NOTHING;
CREATE OR REPLACE RULE experiment_log_no_delete AS ON DELETE TO hybridrec.experiment_log DO INSTEAD NOTHING
"""
READABLE = "experiment_state"  # by services; the log has names of people
WENT_BACK = "SELECT 1 FROM hybridrec.experiment_state WHERE experiment = %s AND state = 'back'"


class ExperimentStates:
    """The part of the target that keeps states of experiments; see hybridrec.versions.experiment_states.KeepsExperiments."""

    @abstractmethod
    def _writer(self) -> AbstractContextManager[Connection[tuple[Any, ...]]]: ...

    @abstractmethod
    def _job_reader(self) -> AbstractContextManager[Connection[tuple[Any, ...]]]: ...

    @abstractmethod
    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]: ...

    def experiments(self) -> list[ExperimentState]:
        """Return the states of all experiments that were ever started, by name."""
        with self._job_reader() as db:
            return states(db)

    def experiment_log(self, experiment: str = "") -> list[StateChange]:
        """Return the log, oldest first, for one experiment or for all."""
        with self._job_reader() as db:
            return log(db, experiment)

    def change_experiment(self, after: ExperimentState, line: StateChange) -> None:
        """Write state and log in one transaction."""
        with self._writer() as db:
            change(db, after, line)

    def went_back(self, experiment: str) -> bool:
        """Return whether readers should get the night's own list again."""
        try:
            return bool(self._rows(WENT_BACK, (experiment,)))
        except NothingPublished:  # a database without the table has never had an experiment
            return False


def create(db: Connection[tuple[Any, ...]], reader: str) -> None:
    """Make the tables unless they are there; the caller's transaction."""
    if _there(db):  # a rule is replaced under a lock for which readers would wait
        return
    db.execute(TABLES)
    db.execute(f"GRANT SELECT ON hybridrec.{READABLE} TO {quoted(reader)}")


def states(db: Connection[tuple[Any, ...]]) -> list[ExperimentState]:
    """Return all states; none from a database of an earlier release."""
    query = f"SELECT {STATE_FIELDS} FROM hybridrec.experiment_state ORDER BY experiment"  # noqa: S608
    return [ExperimentState(*row) for row in db.execute(query)] if _there(db) else []


def log(db: Connection[tuple[Any, ...]], experiment: str) -> list[StateChange]:
    """Return the log, oldest first."""
    query = f"SELECT {LOG_FIELDS} FROM hybridrec.experiment_log WHERE %s IN ('', experiment) ORDER BY number"  # noqa: S608
    return [StateChange(*row) for row in db.execute(query, (experiment,))] if _there(db) else []


def change(db: Connection[tuple[Any, ...]], after: ExperimentState, change: StateChange) -> None:
    """Write state and log in one transaction."""
    with transaction(db):
        row = db.execute("SELECT state FROM hybridrec.experiment_state WHERE experiment = %s", (after.experiment,)).fetchone()
        require_change(row[0] if row else "draft", change)
        db.execute("DELETE FROM hybridrec.experiment_state WHERE experiment = %s", (after.experiment,))
        values = (after.experiment, after.state, after.definition, after.since, after.started_at, after.winner)
        db.execute(f"INSERT INTO hybridrec.experiment_state ({STATE_FIELDS}) VALUES (%s, %s, %s, %s, %s, %s)", values)  # noqa: S608
        line = (change.experiment, change.at, change.who, change.former, change.state, change.reason)
        db.execute(f"INSERT INTO hybridrec.experiment_log ({LOG_FIELDS}) VALUES (%s, %s, %s, %s, %s, %s)", line)  # noqa: S608


def _there(db: Connection[tuple[Any, ...]]) -> bool:
    row = db.execute("SELECT to_regclass('hybridrec.experiment_log') IS NOT NULL").fetchone()
    return bool(row and row[0])
