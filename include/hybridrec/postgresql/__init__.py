"""Parts of targets/postgres.py: loading in parallel, a version's tables, a checksum of rows, the roles' rights; the switch is in the target."""
