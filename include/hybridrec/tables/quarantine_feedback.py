"""Events that the look-up has taken and ingest refused."""

from dataclasses import replace

from hybridrec.tables import quarantine_of

TABLE = replace(
    quarantine_of("feedback"),
    doc="Events that the look-up has taken and that the last ingest did not put into core_events, each with a reason.",
)
