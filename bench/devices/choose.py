"""Which device a target means: the one at its address, or this machine."""

from __future__ import annotations

from typing import Any

from compress.bench.devices.base import Device
from compress.bench.devices.local import Local
from compress.bench.devices.ssh import Ssh
from compress.errors import DeviceError
from compress.targets.target import Target
from edge_runtime.machine import detect


def device_of(target: Target, connect: str | None = None, **settings: Any) -> Device:
    """The device for ``target``. ``connect`` overrides its own address; ``settings`` are those of ``Ssh``.

    Raises DeviceError for a target without an address that this machine is not, TargetError for a wrong address.
    """
    if address := connect or target.connect:
        return Ssh(target.name, address, target=target, **settings)
    here, why = target.measurable_here(detect())
    if here:
        return Local(target.name)
    raise DeviceError(
        f"{target.title} cannot be measured here: {why}. Say where one is: --connect ssh://user@host, or connect: in a "
        f"target's file of your own (begin with a copy of targets/devices/{target.name}.yaml)"
    )
