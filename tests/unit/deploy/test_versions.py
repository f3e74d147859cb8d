"""pyspark and pyspark-client own the same files, so a mix of versions stays unnoticed unless it is tested."""

from importlib.metadata import version
from pathlib import Path

import pyspark


def test_spark_is_one_version() -> None:
    assert pyspark.__version__ == version("pyspark") == version("pyspark-client")
    (jar,) = (Path(pyspark.__file__).parent / "jars").glob("spark-core_*.jar")
    assert jar.stem.endswith(f"-{version('pyspark')}")
