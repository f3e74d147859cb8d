"""Support for publishing to PostgreSQL: loading in parallel, a checksum of rows, the roles' rights."""
