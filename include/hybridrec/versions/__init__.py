"""Describe published versions: publications, the answers read from them, the hash of their rows."""
