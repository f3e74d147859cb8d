"""Write docs/tables.md from the definitions in tables/: `python -m docs.generate_tables`, or `make docs`."""

from __future__ import annotations

from pathlib import Path

from hybridrec.base import extensions
from hybridrec.tables import Column, Table, table

PAGE = Path(__file__).parent / "tables.md"
LAYERS = {
    "core": "Cleaned data of a source, below `warehouse/<source>/`; kept from night to night.",
    "quarantine": "Rows that ingest refused, each with a reason, below `warehouse/<source>/`; replaced by every ingest.",
    "waiting": "Rows that the next ingest tries again, below `warehouse/<source>/`.",
    "model": "Tables inside a run, below `runs/<run_id>/`; split by split in `split=ranker`, `split=holdout`, `split=full`.",
    "out": "Tables for people and services, below `runs/<run_id>/`; the published tables have the same columns and the row's origin.",
}


def page() -> str:
    """Return the page as Markdown, one section a layer, tables by name."""
    definitions = [table(name) for name in extensions.names("tables")]
    parts = [
        "# Tables",
        "Generated from `include/hybridrec/tables/` by `make docs`; change the definitions, not this page.\n"
        "Every table is a folder of Parquet files; its `_committed.json` names the files that count.\n"
        "Time stamps are UTC, `score` is better when higher, `rank` 1 is best.",
    ]
    for layer, meaning in LAYERS.items():
        members = [definition for definition in definitions if definition.name.split("_")[0] == layer]
        parts += [f"## {layer}", meaning, *map(section, members)]
    return "\n\n".join(parts) + "\n"


def section(definition: Table) -> str:
    """Return one table."""
    facts = [f"Key: {', '.join(f'`{column}`' for column in definition.key) or 'none'}."]
    if definition.partition_by:
        facts.append(f"Partitioned by {', '.join(f'`{column}`' for column in definition.partition_by)}.")
    if definition.open_prefixes:
        facts.append(f"Further float columns start with {' or '.join(f'`{prefix}`' for prefix in definition.open_prefixes)}.")
    rows = [
        f"| `{column.name}` | `{column.type}` | {'yes' if column.nullable else ''} | {_meaning(column)} |" for column in definition.columns
    ]
    head = ["| column | type | may be null | meaning |", "|---|---|---|---|"]
    return "\n".join([f"### {definition.name}", "", f"{definition.doc} {' '.join(facts)}", "", *head, *rows])


def _meaning(column: Column) -> str:
    limits = [f"at least {column.minimum:g}"] if column.minimum is not None else []
    limits += [f"at most {column.maximum:g}"] if column.maximum is not None else []
    limits += [f"one of {', '.join(column.one_of)}"] if column.one_of else []
    limits += ["true when missing" if column.default is True else "false when missing"] if isinstance(column.default, bool) else []
    text = f"{column.doc} ({'; '.join(limits)})" if limits else column.doc
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.name} is written")
