"""Publish targets: one file each.

An extension has `DOC` (one line) and `connect(settings: Settings) -> Target`; see hybridrec.versions.publications for what a
Target does. A version is immutable; services read views that `switch_to` moves in one transaction; until it
commits, last night's version is live.

A service reads a target in its own threads: in one, or in as many as the target's `parallel_reads` says, if it has that.
"""
