"""Read locations and use of this machine from the environment; nothing about a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hybridrec.base.errors import PermanentError


@dataclass(frozen=True)
class Settings:
    """One field for each HYBRIDREC_* variable.

    home: everything that this machine writes lies below it.
    storage: where runs, warehouse, tuned and interventions lie, a folder or "s3://bucket/prefix", which the home then mirrors; "" for
    the home.
    spark: "connect" (one server a night), "submit" (Spark jobs go to a cluster), or a Spark master for sessions of their own ("local[2]").
    target: name of the publish target, a file under `targets/`.
    skip: extensions that are switched off, as "models.two_tower".
    threads: compute threads of one process.
    """

    home: Path
    storage: str
    spark: str
    spark_memory: str
    target: str
    skip: frozenset[str]
    threads: int

    @classmethod
    def from_env(cls) -> Settings:
        """Read the environment; the defaults are the embedded set-up that needs no server."""
        env = os.environ
        return cls(
            home=Path(env.get("HYBRIDREC_HOME") or Path.cwd() / "var").absolute(),
            storage=env.get("HYBRIDREC_STORAGE", ""),
            spark=env.get("HYBRIDREC_SPARK", "connect"),
            spark_memory=env.get("HYBRIDREC_SPARK_MEMORY", "2g"),
            target=env.get("HYBRIDREC_TARGET", "sqlite"),
            skip=frozenset(filter(None, map(str.strip, env.get("HYBRIDREC_SKIP", "").split(",")))),
            threads=_threads(env.get("HYBRIDREC_THREADS") or "2"),
        )

    @property
    def is_remote(self) -> bool:
        """Whether the storage is an address; see hybridrec.storage.shared_files."""
        return "://" in self.storage

    @property
    def shared(self) -> Path:
        """Folder of what several machines share; with an address the home, which mirrors it."""
        return Path(self.storage).absolute() if self.storage and not self.is_remote else self.home

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.shared / "runs"

    @property
    def published(self) -> Path:
        """The embedded publish target's folder."""
        return self.home / "published"

    @property
    def published_is_readable(self) -> bool | None:
        """Whether other users of the machine may read what is published; None to leave it as it is, at first they may not."""
        return {"on": True, "off": False}.get(os.environ.get("HYBRIDREC_PUBLISHED_READABLE", ""))

    @property
    def served(self) -> Path:
        """Folder of the look-up's log: what was served, and the events that came of it."""
        return Path(os.environ.get("HYBRIDREC_SERVED") or self.home / "served").absolute()

    @property
    def downloads(self) -> Path:
        """Downloaded files, checked by hash."""
        return self.home / "downloads"

    @property
    def data_docs(self) -> Path:
        """The site with Great Expectations' results; its index.html is the entrance."""
        return self.home / "data_docs"

    def warehouse(self, source: str) -> Path:
        """Return the raw and core tables of one source."""
        return self.shared / "warehouse" / source

    def tuned(self, source: str) -> Path:
        """Return the folder of the options that tune_models has found for one source, one folder per model."""
        return self.shared / "tuned" / source

    @property
    def interventions(self) -> Path:
        """Actions of people on publications; see hybridrec.publishing.interventions."""
        return self.shared / "interventions"

    @property
    def mlflow_uri(self) -> str:
        """Address of the MLflow tracking store and registry."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.home}/mlflow/mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """Folder of the MLflow artefacts."""
        return self.home / "mlflow" / "artifacts"

    @property
    def postgres(self) -> str:
        """Address of the publish target `postgres`, a libpq URI; "" for none. A property, so that no password in it is ever printed."""
        return os.environ.get("HYBRIDREC_POSTGRES", "")

    @property
    def postgres_reader(self) -> str:
        """Role that may read what is published to PostgreSQL, and nothing else."""
        return os.environ.get("HYBRIDREC_POSTGRES_READER") or "hybridrec_reader"


def _threads(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise PermanentError(f"HYBRIDREC_THREADS is {text!r}, expected a whole number from 1 on: the compute threads of one process")
    return int(text)
