"""MovieLens 100K: 100 000 real ratings of 1 682 films by 943 users, 1997 to 1998.

The files ship inside the wheel of a Python package, which is fetched once from the package index, checked by hash
and read from the zip; the package is never installed or imported. Ratings are events, genres are categories. Only the first character of
the zip code is kept.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.base.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
DOC = "MovieLens 100K: real film ratings with titles, genres, age, gender and occupation; fetched once"
REQUIREMENT = "recbole==1.2.1"
WHEEL = "recbole-1.2.1-py3-none-any.whl"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
MEMBER = "recbole/dataset_example/ml-100k/ml-100k"
FETCH_SECONDS = 300
TERMS = (
    "MovieLens 100K is GroupLens' data: for research, not to be redistributed and not for commercial use without "
    "permission, no endorsement implied; cite F. M. Harper and J. A. Konstan, 'The MovieLens Datasets: History and "
    "Context', ACM TiiS 5(4), 2015. https://grouplens.org/datasets/movielens/100k/"
)


def land(settings: Settings, folder: Path, seed: int) -> None:
    """Fetch the wheel if it is not here, check it, write its three tables; the seed does not matter."""
    import pyarrow.parquet as pq

    log.warning(TERMS)
    wheel = checked_wheel(settings)
    with zipfile.ZipFile(wheel) as archive:
        tables = {"events": read_events(archive), "items": read_items(archive), "users": read_users(archive)}
    for part, rows in tables.items():
        (folder / part).mkdir(parents=True)
        pq.write_table(rows, folder / part / f"ml-100k.{part}.parquet", compression="zstd")


def checked_wheel(settings: Settings) -> Path:
    """Return the downloaded wheel; PermanentError unless its hash is the pinned one."""
    wheel = settings.downloads / WHEEL
    if not wheel.exists():
        _fetch(wheel)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SHA256:
        raise PermanentError(f"movielens_100k: {wheel} has SHA-256 {digest}, expected {SHA256}; delete that file and run land_source again")
    return wheel


def _fetch(wheel: Path) -> None:
    """Download into a folder of this attempt's own, then rename: a killed download leaves no half file."""
    wheel.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="fetch-", dir=wheel.parent))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"]
    command += ["--retries", "1", "--timeout", "20", "--quiet", "--dest", str(scratch), REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        if done.returncode or not (scratch / WHEEL).exists():
            raise PermanentError(_fetch_failed(wheel, done.stderr))
        (scratch / WHEEL).replace(wheel)
    except subprocess.TimeoutExpired:
        raise PermanentError(_fetch_failed(wheel, f"no answer within {FETCH_SECONDS} s")) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch_failed(wheel: Path, stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return (
        f"movielens_100k: `pip download {REQUIREMENT}` failed ({lines[-1] if lines else 'no message'}); check the network "
        f"and pip's index settings and run land_source again, or fetch {wheel.name} elsewhere and put it at {wheel}"
    )


def read_events(archive: zipfile.ZipFile) -> pa.Table:
    """Return ratings, with the epoch seconds as UTC time stamps."""
    import pyarrow as pa

    rows = _read(archive, "inter")
    seconds = rows["timestamp:float"].cast(pa.float64()).cast(pa.int64())
    return pa.table(
        {
            "user_id": rows["user_id:token"],
            "item_id": rows["item_id:token"],
            "event_type": pa.repeat("rating", rows.num_rows),
            "event_at": seconds.cast(pa.timestamp("s", tz="UTC")).cast(pa.timestamp("us", tz="UTC")),
            "rating": rows["rating:float"],
        }
    )


def read_items(archive: zipfile.ZipFile) -> pa.Table:
    """Return films; a year or genre that is not known stays empty."""
    import pyarrow as pa

    rows = _read(archive, "item").to_pylist()
    years = [row["release_year:token"] if row["release_year:token"].isdigit() else None for row in rows]
    genres = [[genre for genre in row["class:token_seq"].split() if genre != "unknown"] for row in rows]
    titles = [row["movie_title:token_seq"] for row in rows]
    return pa.table(
        {
            "item_id": [row["item_id:token"] for row in rows],
            "title": titles,
            "description": [
                " ".join([title, year or "", *names]).strip() for title, year, names in zip(titles, years, genres, strict=True)
            ],
            "categories": pa.array(genres, pa.list_(pa.string())),
            "released_at": pa.array([year and f"{year}-01-01" for year in years], pa.string()),
        }
    )


def read_users(archive: zipfile.ZipFile) -> pa.Table:
    """Return users, with the region as coarse as the first character of the zip code."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _read(archive, "user")
    return pa.table(
        {
            "user_id": rows["user_id:token"],
            "age_years": rows["age:token"],
            "gender": rows["gender:token"],
            "occupation": rows["occupation:token"],
            "region": pc.utf8_slice_codeunits(rows["zip_code:token"], 0, 1),
        }
    )


def _read(archive: zipfile.ZipFile, suffix: str) -> pa.Table:
    """Return one tab-separated file with every column as text."""
    import pyarrow as pa
    from pyarrow import csv

    with archive.open(f"{MEMBER}.{suffix}") as file:
        names = file.readline().decode().rstrip("\n").split("\t")
        return csv.read_csv(
            file,
            read_options=csv.ReadOptions(column_names=names),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
