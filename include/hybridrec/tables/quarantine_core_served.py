"""Lines of the look-up's log that ingest refused."""

from hybridrec.tables import quarantine_of

TABLE = quarantine_of("core_served")
