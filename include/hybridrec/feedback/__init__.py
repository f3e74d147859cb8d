"""Keep what was served and what came of it: the look-up's log, its way into the core tables, and what a night learns from it."""
