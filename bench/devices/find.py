"""From what a user writes, a target's name and perhaps an address, to the device that is meant."""

from __future__ import annotations

from typing import Any

from compress.bench.devices.base import Device
from compress.bench.devices.choose import device_of
from compress.bench.devices.ssh import Ssh
from compress.errors import TargetError
from compress.targets.address import parse_address
from compress.targets.target import THIS_MACHINE, load_target


def device_for(target: str | None, connect: str | None = None, **settings: Any) -> Device:
    """This machine where nothing is said; the one at ``connect``, or at the target's own address, where there is one.

    ``settings`` are those of ``Ssh``. Raises TargetError for an unknown target or an address that is none, DeviceError
    for a target without an address that this machine is not; both say what to write.
    """
    if target and target.startswith("ssh://"):
        raise TargetError(
            f"{target} is an address, and --on names a target: write --connect {target}, and --on only to say what "
            "kind of device it should be"
        )
    if target == THIS_MACHINE and connect:
        raise TargetError(
            f"{THIS_MACHINE} is the one that you sit at, and {connect} would be another: leave --on away, or name what "
            "kind of device it is (compress targets)"
        )
    if target is None and connect:
        return Ssh(parse_address(connect).host, connect, **settings)
    return device_of(load_target(target or THIS_MACHINE), connect, **settings)
