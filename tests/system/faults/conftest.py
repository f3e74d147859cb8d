"""Processes that write while something fails, and disks that fill up."""

from tests.support.faults.failing_disk import disk_lanes, folder  # noqa: F401  fixtures
from tests.support.faults.failing_server import small_disk, wire_lanes  # noqa: F401  fixtures
