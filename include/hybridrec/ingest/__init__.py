"""From a source's raw files to the core tables: land, clean, check."""
