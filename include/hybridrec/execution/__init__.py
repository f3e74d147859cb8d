"""Run a job: its command line, its record, its exit code, its Spark session."""
