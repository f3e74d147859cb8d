"""Input data sets: one file each.

An extension has `DOC` (one line for the form and the docs) and

    def land(settings: Settings, folder: Path, seed: int) -> None

which writes the raw data as it came into `folder / "events"`, `"items"`, `"users"`: Parquet files whose columns are
named as in core_events, core_items and core_users (text or typed; absent optional columns are fine), and SOURCE_FILE where
the file that a row came in has another name. It raises
PermanentError if the data cannot be fetched or read. It holds no more than one file in memory; a large one may be written by Spark's
workers.

An extension with a frozen `Config` reads its overrides, `[sources.<name>]` in `<home>/hybridrec.toml`, by `options`.
"""

from __future__ import annotations

from typing import TypeVar

from hybridrec.base.config import read_config, with_options
from hybridrec.base.settings import Settings

T = TypeVar("T")
PARTS = ("events", "items", "users")  # raw folders; core_<part> is made of each
SOURCE_FILE = "_source_file"  # stands in quarantine; without it the raw file's own name does


def options(settings: Settings, name: str, default: T) -> T:
    """Return a source's config with the overrides of `<home>/hybridrec.toml`; PermanentError names an unknown option."""
    path = settings.home / "hybridrec.toml"
    return with_options(default, read_config(path).options("sources", name), f"{path} [sources.{name}]")
