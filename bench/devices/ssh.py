"""A device at the other end of a network: the plan runs there, and a broken connection does not end it.

1. Log in (``openssh``) and see what is there (``survey``, ``far``): architecture, Python, C library, space.
2. Bring together the wheels for that device (``wheels``) and send what it lacks, wheels and models alike, by hash.
3. Start the measurement, in a session of its own that outlives ours, and follow its file of events.
4. When the connection breaks, log in again, ever more patiently, and go on from the last whole line. When the device
   was started again in between, start the measurement again with the events that there are: finished steps stay.
5. Clean up there. The packages stay for the next time.

``folder/events.jsonl`` here is at any time a beginning of the file there, byte for byte. The place of a measurement
there is called by a digest of the plan and its files, so the same command, given again after this program has died,
finds what went on without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from compress.bench.devices.base import OnEvent
from compress.bench.devices.measurement import Keep, Measurement, Settings, Wheels
from compress.bench.devices.wheels import wheels as wheels_for
from compress.targets.address import parse_address
from compress.targets.target import Target
from edge_runtime.probes.plan import Plan


class Ssh:
    """A device that is reached by ssh.

    ``target``: what it should be; another architecture is refused, other differences are told to ``say``, which takes
    lines for people. ``options``: more arguments of ssh. ``python`` and ``folder``: the interpreter and the place to
    use there. ``environment``: variables set for what runs there. ``keep``: what stays there afterwards.
    ``patience``: seconds without a connection after which it is given up.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        target: Target | None = None,
        options: Sequence[str] = (),
        python: str | None = None,
        folder: str | None = None,
        environment: Mapping[str, str] | None = None,
        keep: Keep = "packages",
        patience: float = 600.0,
        wheels: Wheels = wheels_for,
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.name = name
        self.settings = Settings(
            name, parse_address(address), target, tuple(options), python, folder, dict(environment or {}), keep,
            patience, wheels, say, threading.Event(),
        )  # fmt: skip

    def run(self, plan: Plan, files: Mapping[str, Path], on_event: OnEvent, *, folder: Path) -> None:
        """As ``base.Device`` has it. KeyboardInterrupt ends the measurement there, too."""
        Measurement(self.settings, plan, files, on_event, folder).run()

    def stop(self) -> None:
        """End ``run``, from another thread, as Ctrl-C does: it raises KeyboardInterrupt."""
        self.settings.stopping.set()
