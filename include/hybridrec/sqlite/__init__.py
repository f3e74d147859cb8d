"""Write and read a version in SQLite: connections and what their errors mean, a version's tables and the checksum of their rows."""
