"""Parts of targets/sqlite.py: connections, the table publications, a version's tables, a checksum of rows; the switch is in the target."""
