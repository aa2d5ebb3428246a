"""Several devices at once: one thread each, for each waits on its own network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compress.bench.devices.base import Device, Event
from compress.bench.devices.local import Local
from compress.errors import CompressError, DeviceError
from edge_runtime.probes.plan import Plan


def run_all(
    devices: Sequence[Device],
    plan: Plan,
    files: Mapping[str, Path],
    on_event: Callable[[Device, Event], object],
    *,
    folder: Path,
) -> dict[str, CompressError | None]:
    """Measure ``plan`` on every device; what went wrong, by the device's name (None: nothing).

    The events of a device are kept in ``folder/NAME``. ``on_event`` is called from several threads, one event of a
    device at a time. One that fails leaves the others alone; KeyboardInterrupt ends all of them, and what they told
    stays. Raises DeviceError when two have one name.
    """
    names = [device.name for device in devices]
    if len(set(names)) < len(names):
        raise DeviceError(f"every device needs a name of its own; these are called {', '.join(sorted(names))}")

    def run(device: Device) -> CompressError | None:
        try:
            device.run(plan, files, lambda event: on_event(device, event), folder=folder / device.name)
        except CompressError as error:
            return error
        return None

    # This machine is measured from here: Ctrl-C reaches this thread only, and Local needs it to end what it started.
    here = [device for device in devices if isinstance(device, Local)]
    far = [device for device in devices if not isinstance(device, Local)]
    with ThreadPoolExecutor(max(1, len(far)), thread_name_prefix="device") as pool:
        futures = {device.name: pool.submit(run, device) for device in far}
        try:
            found = {device.name: run(device) for device in here}
            found |= {name: future.result() for name, future in futures.items()}
        except BaseException:
            for device in far:
                device.stop()
            raise
    return {name: found[name] for name in names}
