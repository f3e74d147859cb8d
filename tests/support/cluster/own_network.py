"""A network of its own for one process of the cluster, joined to the others by a cable that can be cut.

The cluster's addresses are loopback ones, which Linux lets no packet carry from one network to another. The two ends of this
cable may, so the process keeps its address, and no other process has to know.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class OwnNetwork:
    """The address within, one of a network of 256 that are reached over the cable."""

    address: str

    @property
    def name(self) -> str:
        """Name of the network; the ends of the cable add a letter, as devices have at most 15."""
        return self.address.replace(".", "-")

    def entered(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs this one within; a process keeps its id."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Drop everything on the cable while the block lasts; neither side is told."""
        ends = (["tc", "qdisc"], f"o{self.name}"), (["tc", "-n", self.name, "qdisc"], f"i{self.name}")
        for command, end in ends:
            _run(*command, "add", "dev", end, "root", "blackhole")
        try:
            yield
        finally:
            for command, end in ends:
                _run(*command, "del", "dev", end, "root")


@contextmanager
def joined(address: str, neighbour: str) -> Iterator[OwnNetwork]:
    """Make a network while the block lasts; only root may, so others skip the test. neighbour: an address of this side."""
    own = OwnNetwork(address)
    _remove(own)  # what a killed test has left
    made = subprocess.run(["ip", "netns", "add", own.name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this user may not make a network: {made.stderr.strip()}")
    try:
        _lay_cable(own, neighbour)
        yield own
    finally:
        _remove(own)
        assert not any(Path(place).exists() for place in (f"/run/netns/{own.name}", f"/sys/class/net/o{own.name}"))


def _remove(own: OwnNetwork) -> None:
    for command in (["ip", "link", "del", f"o{own.name}"], ["ip", "netns", "del", own.name]):  # the cable's other end and the routes too
        subprocess.run(command, capture_output=True, check=False)


def _lay_cable(own: OwnNetwork, neighbour: str) -> None:
    outer, inner, all_others = f"o{own.name}", f"i{own.name}", f"{own.address.rpartition('.')[0]}.0/24"
    _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", own.name)
    within = ("ip", "-n", own.name)
    _run(*within, "link", "set", "lo", "up")
    _run(*within, "addr", "add", f"{own.address}/32", "dev", "lo")
    for enter, ip, end, there, source in (
        ([], ("ip",), outer, own.address, neighbour),
        (own.entered([]), within, inner, all_others, own.address),
    ):
        _run(*enter, "sysctl", "-q", "-w", f"net.ipv4.conf.{end}.route_localnet=1")
        _run(*ip, "link", "set", end, "up")
        _run(*ip, "route", "add", there, "dev", end, "src", source, "table", "local")  # where the kernel looks for loopback's own


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
