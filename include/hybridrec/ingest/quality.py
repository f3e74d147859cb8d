"""Great Expectations on the core tables: the suite follows from the table's definition, the results are Data Docs.

All sources and tables share one file context below `<home>/gx`, so the Data Docs site lists them all; a lock lets
one process at a time write there. Figures for the nightly report are in the dataset `checks_<table>`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings
from hybridrec.ingest import datadocs, partitions
from hybridrec.ingest.findings import read_findings
from hybridrec.ingest.landing import read_landing
from hybridrec.storage import locks, shared_files, store
from hybridrec.storage.fingerprints import fingerprint
from hybridrec.tables import Table, table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

log = logging.getLogger(__name__)
MAX_ROWS = 2_000_000  # of larger tables every n-th row is checked: 2 million rows take some 400 MB
LISTED = "listed"
KEEP_RESULTS = 30  # validation results of a suite that stay in the Data Docs
RECORD = "checks.json"


@dataclass(frozen=True)
class Expectation:
    """One expectation: a class of great_expectations.expectations and its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation's outcome; unexpected_count is null where the expectation is about the column as a whole."""

    expectation: str
    column: str | None
    success: bool
    expected: dict[str, Any]
    observed: str | None
    unexpected_count: int | None
    unexpected_percent: float | None
    error: str | None


@dataclass(frozen=True)
class Checks:
    """The newest checkpoint of one core table; the landing is the only time in it.

    rows: of the whole table; checked_rows: that were looked at. quarantined: refused rows of the last ingest by reason.
    mended, warnings: of the last ingest, see hybridrec.ingest.findings.
    """

    source: str
    table: str
    success: bool
    rows: int
    checked_rows: int
    quarantined: dict[str, int]
    statistics: dict[str, float]
    checks: list[ExpectationResult]
    mended: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def check_table(settings: Settings, source: str, name: str, config: Config, accept_shrink: bool = False) -> Checks:
    """Run the checkpoint of a core table's newest state, write the Data Docs and the record; an accepted state becomes the table.

    PermanentError when an expectation fails: the table stays as it last passed. accept_shrink: however few rows are left.
    """
    definition = table(name)
    dataset = settings.warehouse(source) / name
    newest = store.newest(dataset)
    if newest is None:
        raise PermanentError(
            f"{name}: source {source} has no such table yet; run python -m jobs.clean_table --source {source} --table {name}"
        )
    origin = _origin(settings, source, name, config)  # before the rows are read: what is committed meanwhile is not in it
    stride = max(1, ceil(newest.rows / MAX_ROWS))
    files = shared_files.fetch(dataset / file for file in newest.files)
    before = _count_delivered(dataset, definition)
    sample = delivered_rows(sample_rows(files, stride), definition, before)
    least = definition.min_rows if accept_shrink else least_rows(definition, before, config.min_kept_share)
    expected = suite_expectations(definition, least // stride)
    if name == "core_events":
        expected.append(freshness_expectation(read_landing(settings, source).landed_at, config.max_event_age_days))
    result = run_checkpoint(settings, f"{source}-{name}", sample, expected)
    checks = _summarise(settings, source, name, newest.rows, sample.num_rows, result)
    with store.staged(_checks_folder(settings, source, name), made_from=origin) as folder:
        store.write_json(folder / RECORD, asdict(checks))
    _raise_failed(settings, checks)
    partitions.accept(dataset, newest)
    log.info("%s: %d expectations hold on %d of %d rows", name, len(checks.checks), checks.checked_rows, newest.rows)
    return checks


def accept_checked(settings: Settings, source: str, name: str) -> None:
    """Make the newest state of a table the table without a look at it, as its rows are those of a checkpoint that passed."""
    dataset = settings.warehouse(source) / name
    if (proposed := store.pending(dataset)) is not None:
        partitions.accept(dataset, proposed)


def is_checked(settings: Settings, source: str, name: str, config: Config) -> bool:
    """Return whether the newest state's rows have passed a checkpoint with the same options and code.

    Data Docs belong to this machine: where they are gone the table counts as not checked.
    """
    folder, origin = _checks_folder(settings, source, name), _origin(settings, source, name, config)
    return store.is_made_from(folder, origin) and read_checks(settings, source, name).success and datadocs.index_page(settings).exists()


def read_checks(settings: Settings, source: str, name: str) -> Checks:
    """Return the record of the newest checkpoint of a core table."""
    from pydantic import TypeAdapter

    folder = store.committed_folder(_checks_folder(settings, source, name))
    return TypeAdapter(Checks).validate_json((folder / RECORD).read_text())


def suite_expectations(definition: Table, min_rows: int) -> list[Expectation]:
    """Return the promises of a table's definition: columns, volume, completeness, ranges, sets, key."""
    expected = [
        Expectation("ExpectTableColumnsToMatchOrderedList", {"column_list": list(definition.column_names)}),
        Expectation("ExpectTableRowCountToBeBetween", {"min_value": min_rows}),
    ]
    for column in definition.columns:
        named = {"column": column.name}
        if not column.nullable:
            expected.append(Expectation("ExpectColumnValuesToNotBeNull", named))
        if column.minimum is not None or column.maximum is not None:
            limits = {"min_value": column.minimum, "max_value": column.maximum}
            expected.append(
                Expectation("ExpectColumnValuesToBeBetween", named | {key: value for key, value in limits.items() if value is not None})
            )
        if column.one_of:
            expected.append(Expectation("ExpectColumnValuesToBeInSet", named | {"value_set": list(column.one_of)}))
    if len(definition.key) == 1:
        return [*expected, Expectation("ExpectColumnValuesToBeUnique", {"column": definition.key[0]})]
    return (
        [*expected, Expectation("ExpectCompoundColumnsToBeUnique", {"column_list": list(definition.key)})] if definition.key else expected
    )


def freshness_expectation(landed_at: datetime, max_age_days: int) -> Expectation:
    """Return the expectation that the newest event is before the landing and, with an age set, at most that much older."""
    oldest = {"min_value": landed_at - timedelta(days=max_age_days)} if max_age_days else {}
    return Expectation("ExpectColumnMaxToBeBetween", {"column": "event_at", "max_value": landed_at, **oldest})


def least_rows(definition: Table, before: int, min_kept_share: float) -> int:
    """Return the fewest rows that are accepted: the definition's, or that share of the state that passed last."""
    return max(definition.min_rows, int(min_kept_share * before))


def _count_delivered(dataset: Path, definition: Table) -> int:
    """Return rows of the committed state, which a failed check does not change; for items and users the rows that a delivery listed."""
    import pyarrow.dataset as ds

    if not store.is_committed(dataset):
        return 0
    manifest = store.read_manifest(dataset)
    if "standing" not in definition.column_names or not manifest.files:
        return manifest.rows
    data = ds.dataset([str(path) for path in store.committed_files(dataset)], format="parquet", partitioning=None)
    if "standing" not in data.schema.names:  # a table from before this column
        return manifest.rows
    return int(data.count_rows(filter=ds.field("standing") == LISTED))


def delivered_rows(rows: pa.Table, definition: Table, before: int) -> pa.Table:
    """Return the rows by which a table is checked: for items and users the listed ones, or the named ones if none was ever listed.

    Rows that have left, or that only events name, would hide the size of a small delivery.
    """
    import pyarrow.compute as pc

    if "standing" not in definition.column_names:
        return rows
    listed = rows.filter(pc.equal(rows["standing"], LISTED))
    return listed if listed.num_rows or before else rows.filter(pc.equal(rows["standing"], "named"))


def sample_rows(files: list[Path], stride: int) -> pa.Table:
    """Return every n-th row of each Parquet file, without vectors; a batch at a time is in memory beside them.

    Nothing is expected of vectors here (hybridrec.ingest.vectors refuses wrong ones), and they would take more memory than all the rest.
    """
    import pyarrow as pa

    return pa.Table.from_batches(batch for path in files for batch in _every_nth(path, stride))


def _every_nth(path: Path, stride: int) -> Iterator[pa.RecordBatch]:
    import numpy as np
    import pyarrow.parquet as pq

    first = 0
    with pq.ParquetFile(path) as file:
        light = [field.name for field in file.schema_arrow if not _is_vector(field.type)]
        for batch in file.iter_batches(columns=light):
            taken = batch.take(np.arange(first, batch.num_rows, stride)) if stride > 1 else batch
            yield _with_nulls(taken, file.schema_arrow)
            first = (first - batch.num_rows) % stride


def _is_vector(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) and pa.types.is_floating(kind.value_type))


def _with_nulls(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch in the schema; columns that it lacks are null."""
    import pyarrow as pa

    known = set(batch.schema.names)
    columns = [batch[field.name] if field.name in known else pa.nulls(batch.num_rows, field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def run_checkpoint(settings: Settings, suite_name: str, rows: pa.Table, expected: list[Expectation]) -> dict[str, Any]:
    """Validate rows in the shared context and bring the Data Docs up to date; returns the validation result as JSON."""
    import great_expectations as gx
    import pandas as pd
    from great_expectations import expectations

    frame: pd.DataFrame = rows.to_pandas(types_mapper=pd.ArrowDtype)  # a quarter of the memory of Python strings
    with locks.exclusive(datadocs.project_folder(settings) / ".lock"):
        context = datadocs.open_context(settings)
        suite = gx.ExpectationSuite(name=suite_name)
        for one in expected:
            suite.add_expectation(getattr(expectations, one.name)(**one.arguments))
        suite = context.suites.add_or_update(suite)
        asset = context.data_sources.add_or_update_pandas(name=suite_name).add_dataframe_asset("core")
        definition = gx.ValidationDefinition(name=suite_name, data=asset.add_batch_definition_whole_dataframe("whole"), suite=suite)
        definition = context.validation_definitions.add_or_update(definition)
        actions = [gx.checkpoint.UpdateDataDocsAction(name="data_docs")]
        checkpoint = gx.Checkpoint(
            name=suite_name, validation_definitions=[definition], actions=actions, result_format={"result_format": "SUMMARY"}
        )
        outcome = context.checkpoints.add_or_update(checkpoint).run(
            batch_parameters={"dataframe": frame}, run_id=gx.RunIdentifier(run_name="checkpoint")
        )
        datadocs.prune(context, suite_name, KEEP_RESULTS)
        datadocs.finish_site(settings)
    return json.loads(json.dumps(next(iter(outcome.run_results.values())).to_json_dict(), default=str))  # type: ignore[no-any-return]


def _summarise(settings: Settings, source: str, name: str, rows: int, checked_rows: int, result: dict[str, Any]) -> Checks:
    statistics = {key: float(value) for key, value in result["statistics"].items() if value is not None}
    checks = sorted((_check(one) for one in result["results"]), key=lambda check: (check.expectation, check.column or ""))
    refused = _count_quarantined(settings, source, name)
    findings = read_findings(settings.warehouse(source), name)
    return Checks(
        source, name, bool(result["success"]), rows, checked_rows, refused, statistics, checks, findings.mended, findings.warnings
    )


def _check(result: dict[str, Any]) -> ExpectationResult:
    arguments = {key: value for key, value in result["expectation_config"]["kwargs"].items() if key != "batch_id"}
    outcome, failure = result["result"], result.get("exception_info") or {}
    observed = outcome.get("observed_value")
    return ExpectationResult(
        expectation=result["expectation_config"]["type"],
        column=arguments.pop("column", None),
        success=bool(result["success"]),
        expected=arguments,
        observed=None if observed is None else str(observed),
        unexpected_count=outcome.get("unexpected_count"),
        unexpected_percent=outcome.get("unexpected_percent"),
        error=failure.get("exception_message"),
    )


def _count_quarantined(settings: Settings, source: str, name: str) -> dict[str, int]:
    import pyarrow.parquet as pq

    folder = settings.warehouse(source) / f"quarantine_{name}"
    if not store.is_committed(folder):
        return {}
    counts: dict[str, int] = {}
    for path in store.committed_files(folder):
        for batch in pq.ParquetFile(path).iter_batches(columns=["reason"]):
            for entry in batch.column("reason").value_counts().to_pylist():
                counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return dict(sorted(counts.items()))


def _raise_failed(settings: Settings, checks: Checks) -> None:
    failed = [check for check in checks.checks if not check.success]
    if not failed:
        return
    raise PermanentError(
        f"{checks.table} of {checks.source}: {len(failed)} of {len(checks.checks)} expectations failed: "
        f"{'; '.join(describe(check) for check in failed)}. Look at {datadocs.index_page(settings)}, "
        f"correct the source, land and clean it again; the night goes on with the table as it last passed{_shrunk(checks, failed)}"
    )


def _shrunk(checks: Checks, failed: list[ExpectationResult]) -> str:
    """Return the remedy for the case that fewer rows are correct."""
    if not any(check.expectation == "expect_table_row_count_to_be_between" for check in failed):
        return ""
    return (
        f". If so few rows are right: python -m jobs.check_table --source {checks.source} --table {checks.table} --accept-shrink, "
        "or lower [night] min_kept_share in hybridrec.toml"
    )


def _origin(settings: Settings, source: str, name: str, config: Config) -> str:
    """Return the inputs of a record of checks. The former volume is left out: equal rows pass against it."""
    folders = [settings.warehouse(source) / part for part in (name, f"quarantine_{name}")]
    states = [store.newest(folder) for folder in folders]
    tables = [state.content_hash if state else "" for state in states]
    dated = name == "core_events" and config.max_event_age_days
    landed_at = read_landing(settings, source).landed_at if dated else None  # a newer landing finds older events
    return fingerprint(tables=tables, landed_at=landed_at, options=asdict(config), great_expectations=version("great-expectations"))


def describe(check: ExpectationResult) -> str:
    """Return a failed expectation in one line: its name, column, what it expected, what it found."""
    told = ", ".join([check.column or "table", *(f"{key} {value}" for key, value in check.expected.items())])
    observed = f"found {check.observed}" if check.unexpected_count is None else f"{check.unexpected_count} rows do not hold"
    return f"{check.expectation}({told}): {check.error or observed}"


def _checks_folder(settings: Settings, source: str, name: str) -> Path:
    return settings.warehouse(source) / f"checks_{name}"
