"""Serve the published tables: the look-up as a library and over HTTP."""
