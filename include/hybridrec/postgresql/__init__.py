"""Parts of targets/postgres.py: loading in parallel, a version's tables, checksum of rows, roles' rights; the switch is in the target."""
