"""Input data sets: one file each.

A member has `DOC` (one line for the form and the docs) and

    def land(settings: Settings, folder: Path, seed: int) -> None

which writes the raw data as it came into `folder / "events"`, `"items"`, `"users"`: Parquet files whose columns are
named as in core_events, core_items and core_users (text or typed; absent optional columns are fine). It raises
BadData when the data cannot be had or read. It runs in one process and holds no more than one file in memory.
"""
