"""The self-test of a version: its golden inputs through its model, on this device, in a child process.

A child, because a model that a damaged file or another processor makes the engine crash on must not take the updater
down with it; and because only a fresh process tells what the model costs in memory. The child is killed with all it has
started when its time is over, ends by itself when this process does, and is the kernel's first choice when memory runs
out. What it prints is capped, and nothing in it is believed but numbers.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edge_runtime import limits
from edge_runtime.bundle.contents import Contents
from edge_runtime.errors import SelfTestError

TOLD = 500
"""Characters of a child's last words that become part of a message."""
ADVICE = "make a bundle for this device"
"""For a failure that brings none of its own."""


@dataclass(frozen=True)
class SelfTest:
    """``argmax``: share of golden samples with the expected class; ``absolute``: largest difference of an output, and
    infinite where one is not a number; ``p99``: seconds a call took, or None when it was not asked for; ``memory``:
    the most resident memory the process had, in bytes, with the interpreter and the engine; ``version``: the engine's.
    """

    argmax: float
    absolute: float
    p99: float | None
    memory: int
    version: str


def run(version: Contents, *, timed: bool, seconds: float = limits.SELF_TEST_SECONDS) -> SelfTest:
    """Test a version; ``timed``: measure p99 too. Raises SelfTestError when it crashes, fails or takes too long."""
    command = [sys.executable, "-m", "edge_runtime.update.selftest_child", str(version.folder)]
    command += ["--timed"] if timed else []
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",  # not where a file of a bundle could hide one of Python's own
        env=_environment(),
        start_new_session=True,
    )
    try:
        told, words = _listen(process, time.monotonic() + seconds)
        process.wait(limits.LOCK_SECONDS)
    except TimeoutError:
        raise SelfTestError(f"its self-test took longer than {seconds:g} s; make a smaller model") from None
    except subprocess.TimeoutExpired:
        raise SelfTestError(
            f"its self-test closed its output and did not end within {limits.LOCK_SECONDS:g} s; try it where it was "
            "made"
        ) from None
    except OverflowError:
        raise SelfTestError(
            f"its self-test printed more than {limits.SELF_TEST_OUTPUT} bytes; try it where it was made"
        ) from None
    finally:
        _end(process)
    if process.returncode < 0:
        name = _signal(-process.returncode)
        hint = ", most likely for want of memory" if name == "SIGKILL" else ""
        raise SelfTestError(
            f"its self-test was ended by {name}{hint}; the model and this device's {version.manifest.runtime} do not "
            "go together"
        )
    if process.returncode:
        last = words.decode(errors="replace").strip()[-TOLD:]
        raise SelfTestError(f"its self-test failed: {last or f'without a word; {ADVICE}'}")
    return _result(told)


def failed_checks(golden: dict[str, Any], result: SelfTest) -> dict[str, str]:
    """What a result is worse in than the golden outputs' limits allow: the check's name, and words."""
    failed = {}
    if not result.argmax >= golden["argmax"]:
        failed["argmax"] = f"{result.argmax:.2%} of its golden answers are right, where {golden['argmax']:.2%} must be"
    if not result.absolute <= golden["absolute"]:
        failed["absolute"] = f"its outputs are off by {result.absolute:g}, where {golden['absolute']:g} are allowed"
    if golden["p99"] is not None and (result.p99 is None or result.p99 > golden["p99"]):
        failed["p99"] = f"p99 is {_milliseconds(result.p99)}, where {_milliseconds(golden['p99'])} are allowed"
    if golden["memory"] is not None and result.memory > golden["memory"]:
        failed["memory"] = f"it takes {result.memory / 1e6:.1f} MB, where {golden['memory'] / 1e6:.1f} MB are allowed"
    return failed


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, most of which have no name
        return f"signal {number}"


def _milliseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1e3:.2f} ms"


def _environment() -> dict[str, str]:
    """This process's, with relative places to import from made absolute, and without the working folder among them."""
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join(os.path.abspath(place) for place in places if place)
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


def _listen(process: subprocess.Popen, deadline: float) -> tuple[bytes, bytes]:
    """What it printed on its two streams until it closed them. Raises TimeoutError, OverflowError."""
    heard = {process.stdout: b"", process.stderr: b""}
    with selectors.DefaultSelector() as selector:
        for stream in heard:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                block = os.read(key.fd, 65536)
                if not block:
                    selector.unregister(key.fileobj)
                heard[key.fileobj] += block
                if len(heard[key.fileobj]) > limits.SELF_TEST_OUTPUT:
                    raise OverflowError
    return heard[process.stdout], heard[process.stderr]


def _end(process: subprocess.Popen) -> None:
    """Kill the child and whatever it has started; its session is its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    process.wait()


def _result(told: bytes) -> SelfTest:
    try:
        facts = json.loads(told)
        argmax, absolute, p99, memory = (facts[name] for name in ("argmax", "absolute", "p99", "memory"))
        return SelfTest(
            argmax=_number(argmax),
            absolute=math.inf if absolute is None else _number(absolute),
            p99=None if p99 is None else _number(p99),
            memory=int(_number(memory)),
            version=str(facts["version"])[:TOLD],
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SelfTestError(
            f"its self-test answered with something else than a result ({error}); try it where it was made"
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r:.80} is not a number that can stand here")
    return value
