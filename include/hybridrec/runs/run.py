"""A night: its manifest, its splits and its tables.

`runs/<run_id>/run.json` holds whatever could differ between two attempts at the same night: as_of, the effective
options, the seed, the code version, the exact input files. Every job of the night reads it, so a rerun of any of
them gives the same output.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hybridrec.assignment.variants import RunningExperiment
from hybridrec.base.config import Config, Options, stored_config
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.storage import shared_files, store
from hybridrec.tables import Table, table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

SplitName = Literal["ranker", "holdout", "full"]
SPLITS: tuple[SplitName, ...] = ("ranker", "holdout", "full")
FORMER_SPLITS = {"ranker": "rank", "holdout": "eval", "full": "final"}  # as runs, flags and seeds knew them before decision 65
MANIFEST = "run.json"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Split:
    """Base models see events before `cut`; labels are events from `cut` to `label_end` (none for the full split).

    With a split other than by time every cut and label_end is as_of, and what is held out is in hybridrec.splitting.held_out.
    """

    name: SplitName
    cut: datetime
    label_end: datetime | None


@dataclass(frozen=True)
class Input:
    """One core table as the run found it."""

    files: tuple[str, ...]
    rows: int
    content_hash: str


@dataclass(frozen=True)
class Tuned:
    """Options that a search has found for a model.

    run_id, as_of: the run that searched, and the end of what it saw. metric, before, after: on the search's held-out
    pairs, with the options that it began with and with these.
    """

    options: Options
    run_id: str
    as_of: datetime
    metric: str
    before: float
    after: float
    n_users: int
    n_trials: int


@dataclass(frozen=True)
class RunManifest:
    """Resolved values of a run; see the module.

    tuned: those of config's model options that a search has found. backfill: the run stands for a day of the past.
    repeats: a list may hold an item of its user's history, see hybridrec.splitting.purposes. repeat_shares: of the newest choices, those
    of pairs that had an event of the type before. vectors: the catalogue has its own.
    window_hours: whose popularity says best what comes next, 0 without a calendar, see hybridrec.splitting.windows.
    experiments: those at work when the run was opened, with the shares of that time.
    event_types: of the positive events, if they are of several; then how one follows another is a table too.
    earlier: the run whose learning this one goes on from, empty without one; see hybridrec.opening.earlier.
    kept_by: names the folders of the splits: split=ranker, or fold=rank in a run that was opened before decision 65.
    """

    run_id: str
    source: str
    as_of: datetime
    models: tuple[str, ...]
    publish: bool
    code_version: str
    splits: dict[str, Split]
    inputs: dict[str, Input]
    config: Config
    tuned: dict[str, Tuned] = field(default_factory=dict)
    backfill: bool = False
    repeats: bool = False
    repeat_shares: dict[str, float] = field(default_factory=dict)
    vectors: bool = False
    window_hours: int = 0
    event_types: tuple[str, ...] = ()
    experiments: tuple[RunningExperiment, ...] = ()
    kept_by: Literal["split", "fold"] = "split"
    earlier: str = ""


class Run:
    """Access to one run's tables and artefact folders."""

    def __init__(self, manifest: RunManifest, settings: Settings) -> None:
        self.manifest = manifest
        self.settings = settings
        self.folder = run_folder(settings, manifest.run_id)

    @classmethod
    def open(cls, run_id: str, settings: Settings | None = None) -> Run:
        """Return the run of that id, in this machine's home unless settings name another; PermanentError when open_run has not made it."""
        settings = settings or Settings.from_env()
        path = run_folder(settings, run_id) / MANIFEST
        try:
            raw = json.loads(shared_files.read_text(path))
        except FileNotFoundError:
            raise PermanentError(f"run {run_id!r}: {path} does not exist; start with python -m jobs.open_run") from None
        return cls(_parse_manifest(raw), settings)

    @classmethod
    def create(cls, manifest: RunManifest, settings: Settings) -> Run:
        """Write the manifest, unless the run exists: the first attempt has resolved it for all later ones."""
        path = run_folder(settings, manifest.run_id) / MANIFEST
        if shared_files.modified(path) is None:
            shared_files.write_text(path, store.as_json(asdict(manifest)))
        return cls.open(manifest.run_id, settings)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.manifest.run_id

    @property
    def config(self) -> Config:
        """The night's effective options."""
        return self.manifest.config

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """Names of the run's splits in their order; a run that is only judged has no full one."""
        return tuple(name for name in SPLITS if name in self.manifest.splits)

    def split(self, name: str) -> Split:
        """Return a split by name; PermanentError names the choices."""
        if name not in self.manifest.splits:
            raise PermanentError(f"split {name!r}: choose from {', '.join(self.manifest.splits)}")
        return self.manifest.splits[name]

    def dataset(self, name: str, part: str = "") -> Path:
        """Return the folder of a table or artefact of this run; part is a split's name where it is kept by split."""
        folder = self.folder / name
        if part and self.manifest.kept_by == "fold":
            return folder / f"fold={FORMER_SPLITS[part]}"
        return folder / f"split={part}" if part else folder

    def read(self, name: str, part: str = "", columns: list[str] | None = None, users: range | None = None) -> pa.Table:
        """Return a committed table of this run, whole; or a core table, just as it stood when the run was opened.

        users: numbers of the users whose rows alone are read, of a table that has them.
        """
        import pyarrow.dataset as ds
        import pyarrow.parquet as pq

        files = self.files(name, part)
        if users is not None:
            wanted = (ds.field("user_idx") >= users.start) & (ds.field("user_idx") < users.stop)
            return ds.dataset(files, format="parquet", partitioning=None).to_table(columns=columns, filter=wanted)
        schema = None if columns else pq.read_schema(files[0])
        return pq.ParquetDataset(files, schema=schema, partitioning=None).read(columns=columns)

    def files(self, name: str, part: str = "") -> list[str]:
        """Return the Parquet files of a table: this run's own, or the pinned ones of a core table."""
        if name not in self.manifest.inputs:
            return [str(path) for path in store.committed_files(self.dataset(name, part))]
        folder = self.settings.warehouse(self.manifest.source) / name
        try:
            return [str(path) for path in shared_files.fetch(folder / file for file in self.manifest.inputs[name].files)]
        except FileNotFoundError as error:
            raise PermanentError(
                f"{name}: files of run {self.run_id} are gone, an ingest has replaced them; open a new run ({error})"
            ) from None

    def write(self, name: str, rows: pa.Table, part: str = "") -> None:
        """Conform rows to the table's definition, sort them by key and commit them as the table's content."""
        import pyarrow.parquet as pq

        definition = table(name)
        conformed = definition.conform(rows).sort_by([(column, "ascending") for column in definition.key])
        if conformed.num_rows < definition.min_rows:
            raise PermanentError(f"{name} {part}: {conformed.num_rows} rows, expected at least {definition.min_rows}")
        folder = self.dataset(name, part)
        with store.attempted(folder) as attempt:
            pq.write_table(conformed, attempt / "part-0.parquet", compression="zstd")
            self._commit(folder, attempt, conformed.num_rows)

    def write_batches(self, name: str, batches: Iterable[pa.Table], part: str = "") -> None:
        """Conform rows to the table's definition and commit them as its content; they come in the order of the key, never held at once."""
        import pyarrow.parquet as pq

        definition = table(name)
        folder, n_rows, last = self.dataset(name, part), 0, None
        with store.attempted(folder) as attempt:
            with pq.ParquetWriter(attempt / "part-0.parquet", definition.arrow_schema(), compression="zstd") as writer:
                for batch in filter(len, batches):
                    conformed = definition.conform(batch).sort_by([(column, "ascending") for column in definition.key])
                    first, end = (conformed.select(list(definition.key)).slice(row, 1).to_pylist()[0] for row in (0, len(conformed) - 1))
                    if last is not None and list(first.values()) <= list(last.values()):
                        raise PermanentError(f"{name} {part}: {first} is to be written after {last}; expected rows in the order of the key")
                    writer.write_table(conformed)
                    n_rows, last = n_rows + len(conformed), end
            if n_rows < definition.min_rows:
                raise PermanentError(f"{name} {part}: {n_rows} rows, expected at least {definition.min_rows}")
            self._commit(folder, attempt, n_rows)

    def read_spark(self, spark: SparkSession, name: str, part: str = "") -> DataFrame:
        """Return a committed table as a Spark frame."""
        definition = table(name)
        # a table of fixed columns states its schema, so that Spark need not open the files to learn it
        reader = spark.read if definition.open_prefixes else spark.read.schema(definition.spark_ddl())
        return reader.parquet(*(shared_files.spark_path(Path(file)) for file in self.files(name, part)))

    def write_spark(self, name: str, frame: DataFrame, part: str = "", row_group_mib: int = 128) -> None:
        """Write a Spark frame into an attempt folder and commit it as the table's content.

        row_group_mib: what a reader who wants a range of the first key column cannot read less than.
        """
        import pyarrow.parquet as pq

        definition: Table = table(name)
        folder = self.dataset(name, part)
        with store.attempted(folder) as attempt:
            frame.write.mode("overwrite").option("parquet.block.size", str(row_group_mib * 2**20)).parquet(shared_files.spark_path(attempt))
            shared_files.take_from_spark(attempt)
            rows = sum(pq.read_metadata(path).num_rows for path in attempt.glob("*.parquet"))
            if rows < definition.min_rows:
                raise PermanentError(f"{name} {part}: {rows} rows, expected at least {definition.min_rows}")
            self._commit(folder, attempt, rows)

    def staged(self, name: str, part: str = "") -> AbstractContextManager[Path]:
        """Return an artefact folder (a model, a ranker, a report) that is committed when the block succeeds."""
        return store.staged(self.dataset(name, part))

    def artefact(self, name: str, part: str = "") -> Path:
        """Return the committed artefact folder of that name."""
        return store.committed_folder(self.dataset(name, part))

    def _commit(self, folder: Path, attempt: Path, rows: int) -> None:
        files = store.files_below(folder, attempt)
        digest = hashlib.sha256("".join(store.hash_parquet(folder / file) for file in files).encode())
        store.commit(folder, store.Manifest(files, rows, digest.hexdigest()))


def run_folder(settings: Settings, run_id: str) -> Path:
    """Return the folder of a run; PermanentError for an id that could leave the runs folder."""
    if not RUN_ID.fullmatch(run_id) or ".." in run_id:
        raise PermanentError(f"run id {run_id!r}: letters, digits, '_', '.' and '-' only, at most 128")
    return settings.runs / run_id


def split_name(text: str) -> str:
    """Return the name of a split, also for what it was called before decision 65; any other text stays as it is."""
    return {former: name for name, former in FORMER_SPLITS.items()}.get(text, text)


def _parse_manifest(raw: dict[str, Any]) -> RunManifest:
    from pydantic import TypeAdapter

    if "folds" in raw:
        splits = {split_name(name): split | {"name": split_name(name)} for name, split in raw["folds"].items()}
        raw = raw | {"splits": splits, "kept_by": "fold"}
    return TypeAdapter(RunManifest).validate_python(raw | {"config": stored_config(raw["config"])})
