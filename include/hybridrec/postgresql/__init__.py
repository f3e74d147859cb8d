"""What publishing to PostgreSQL needs beside its statements: loading in parallel, a checksum of rows, the roles' rights."""
