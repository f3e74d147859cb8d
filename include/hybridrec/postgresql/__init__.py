"""Parts of targets/postgres.py: a version's tables, loading, checksum, rights; the table publications and the switch are in the target."""
