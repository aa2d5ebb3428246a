"""Homes, bundles and clocks for tests of updates. Bundles of `bundles.make_bundle`; self-tests that take no time.

from updates import Times, installed, make_home, passing
home = make_home(tmp_path / "home")
first = installed(home, make_bundle(tmp_path), commit=True)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_runtime.bundle.contents import Contents
from edge_runtime.bundle.signature import PublicKey
from edge_runtime.update import clock
from edge_runtime.update.home import Home
from edge_runtime.update.install import install
from edge_runtime.update.selftest import SelfTest
from edge_runtime.update.state import Policy, State, load
from edge_runtime.update.trial import COMMITTED, begin, report

PERFECT = SelfTest(argmax=1.0, absolute=0.0, p99=0.001, memory=1_000_000, version="1.99")
EAGER = Policy(attempts=3, good=10, window=0.0)
"""A trial that ten good inferences end."""
NOW = clock.RELEASED + 86400.0


def passing(version: Contents, *, timed: bool) -> SelfTest:
    """A self-test that every version passes."""
    return PERFECT


class Told:
    """A self-test that says of each version, by its sequence number, what it is told to; perfect otherwise."""

    def __init__(self, **of: object) -> None:
        self.of = {int(name.removeprefix("v")): result for name, result in of.items()}
        self.asked: list[int] = []

    def __call__(self, version: Contents, *, timed: bool) -> SelfTest:
        sequence = version.manifest.sequence
        self.asked.append(sequence)
        result = self.of.get(sequence, PERFECT)
        if isinstance(result, Exception):
            raise result
        return result if isinstance(result, SelfTest) else replace(PERFECT, **result)


class Times:
    """A clock and an uptime that stand still until they are told to go on."""

    def __init__(self, now: float = NOW) -> None:
        self.wall, self.seconds, self.boot = now, 100.0, "first"

    def now(self) -> float:
        return self.wall

    def uptime(self) -> clock.Uptime:
        return clock.Uptime(self.boot, self.seconds)

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.seconds += seconds

    def reboot(self) -> None:
        self.boot, self.seconds = self.boot + "+", 5.0


def make_home(root: Path, *keys: PublicKey) -> Home:
    """A home that trusts these keys, by default that of the tests' bundles."""
    if not keys:
        from bundles import KEY

        keys = (KEY.public,)
    home = Home(root)
    home.make()
    for key in keys:
        (home.keys / f"{key.id}.pub").write_text(key.line())
    return home


def installed(home: Home, bundle: Path, *, commit: bool = False, policy: Policy = EAGER, **options: object) -> str:
    """Install a bundle without a self-test; its id."""
    options = {"selftest": passing, "now": lambda: NOW} | options
    id = install(home, bundle, policy=policy, **options).id
    if commit:
        assert begin(home).id == id
        assert report(home, version=id, good=policy.good) == COMMITTED
    return id


def state_of(home: Home) -> State:
    found = load(home.state)
    assert found is not None
    return found
