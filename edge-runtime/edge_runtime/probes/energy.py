"""How much energy an inference takes, and what of it is due to the inference.

1. Rest: for at least 30 s nothing runs, and the sensors say what the machine takes anyway. Cut in six, so that one
   sees whether it was quiet.
2. Windows: in every round each variant runs once, in an order drawn anew, for at least 10 s of calls, each timed:
   energy and latency come from the same calls. A counter that is updated so slowly that 10 s hold fewer than 100
   updates gets longer windows. The load begins before a window and ends after it by as much as the sensors lag.
3. Per window, joules are counted, or integrated from watts; gross is joules by inferences, net is gross less idle watts
   for as long. A window is left out when a counter was reset in it, or readings are missing for more than a tenth.
4. Five windows: their median, with the least and the largest. No interval: five are too few for one.

The sensors are read by threads of this process. What that takes is in the idle baseline as well as in the windows, so
it is in gross and hardly in net. All sensors given are read at the same time; each has its own answer, and they are not
added up, for one may lie within the other (a plug, and the processor behind it).
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from edge_runtime.energy.base import Sensor
from edge_runtime.energy.recorder import Clock, Recorder, Track
from edge_runtime.energy.result import Energy, Spread
from edge_runtime.energy.series import Series
from edge_runtime.errors import ProbeError

Call = Callable[[], object]

IDLE_SECONDS = 30.0
IDLE_PARTS = 6
WINDOWS = 5
WINDOW_SECONDS = 10.0
UPDATES = 100
"""Updates of a counter that a window holds."""
MOST_MISSING = 0.1
"""Share of a window without readings above which it is left out."""
UNSTEADY = 0.1
"""Spread of the idle baseline, as a share of it, above which it is said to be unsteady."""


class Span(NamedTuple):
    """A stretch of time, with the seconds of each call in it."""

    start: float
    end: float
    calls: np.ndarray

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class EnergySamples:
    """``energies[name]``: one answer a sensor, in their order; ``calls[name]``: for every window, the seconds of each
    call; ``method`` states how they were taken."""

    energies: dict[str, tuple[Energy, ...]]
    calls: dict[str, list[np.ndarray]]
    method: dict[str, Any]


def measure(
    runs: Mapping[str, Call],
    sensors: Sequence[Sensor],
    *,
    batch: int = 1,
    windows: int = WINDOWS,
    window_seconds: float = WINDOW_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    seed: int = 0,
    on_step: Callable[[str], object] | None = None,
    clock: Clock | None = None,
) -> EnergySamples:
    """Energy of the calls in ``runs`` by every one of ``sensors``, which are not open yet.

    ``batch``: inferences in a call. ``on_step`` is told what happens now. It lasts about ``idle_seconds`` and, for
    every variant, ``windows`` times ``window_seconds``. Raises ProbeError without a sensor (energy is *none* then, not
    zero) or with nothing to run, SensorError when a sensor cannot be opened; whatever a call raises passes through.
    """
    if not sensors:
        raise ProbeError("no power sensor: energy is none here; edge_runtime.energy.find says what is looked for")
    if not runs or windows < 1 or batch < 1 or window_seconds <= 0 or idle_seconds <= 0:
        raise ProbeError(
            f"energy needs at least one variant, window and inference and positive times; got {len(runs)} variants, "
            f"{windows} windows of {window_seconds} s, {idle_seconds} s idle, batches of {batch}"
        )
    clock, tell = clock or Clock(), on_step or (lambda words: None)
    draw = random.Random(seed)
    spans: dict[str, list[Span]] = {name: [] for name in runs}
    with Recorder(sensors, clock) as recorder:
        lag = max(2 * sensor.resolution.interval + sensor.resolution.span for sensor in sensors)
        seconds = max([window_seconds, *(UPDATES * sensor.resolution.interval for sensor in sensors if sensor.counts)])
        tell(f"idle for {idle_seconds:g} s")
        clock.sleep(lag)
        rest = [_rest(idle_seconds / IDLE_PARTS, clock, recorder) for _ in range(IDLE_PARTS)]
        clock.sleep(lag)
        for index in range(windows):
            for name in draw.sample(list(runs), len(runs)):
                tell(f"window {index + 1} of {windows}: {name} for {seconds:g} s")
                spans[name].append(_window(runs[name], seconds, lag, clock, recorder))
        tracks = [(track, track.series()) for track in recorder.tracks]
        answers = {name: tuple(_energy(*pair, rest, spans[name], batch) for pair in tracks) for name in runs}
    method = {
        "protocol": "idle baseline, then windows of calls in an order drawn anew every round",
        "variants": list(runs),
        "sensors": [{"name": s.name, "source": s.source, "resolution": asdict(s.resolution)} for s in sensors],
        "windows": windows,
        "window_seconds": seconds,
        "idle_seconds": idle_seconds,
        "lead_seconds": lag,
        "batch": batch,
        "integration": "counters: difference; watts: trapezoids",
        "seed": seed,
    }
    return EnergySamples(answers, {name: [span.calls for span in found] for name, found in spans.items()}, method)


def _rest(seconds: float, clock: Clock, recorder: Recorder) -> Span:
    recorder.touch()
    start = clock.now()
    clock.sleep(seconds)
    end = clock.now()
    recorder.touch()
    return Span(start, end, np.empty(0))


def _window(call: Call, seconds: float, lag: float, clock: Clock, recorder: Recorder) -> Span:
    """Load for ``lag``, then for ``seconds`` with each call timed, then for ``lag`` again."""
    _run(call, lag, clock)
    recorder.touch()
    start = clock.now()
    times = _run(call, seconds, clock)
    end = clock.now()
    recorder.touch()
    _run(call, lag, clock)
    return Span(start, end, np.frombuffer(times, float))


def _run(call: Call, seconds: float, clock: Clock) -> array[float]:
    """Call for as long as that, at least once; the seconds of each."""
    times = array("d")
    end = clock.now() + seconds
    after = 0.0
    while after < end:
        before = clock.now()
        call()
        after = clock.now()
        times.append(after - before)
    return times


def _energy(track: Track, series: Series, rest: list[Span], spans: list[Span], batch: int) -> Energy:
    """What one sensor says about one variant."""
    sensor = track.sensor
    counted = np.array([rail.counted for rail in sensor.rails])
    warnings: list[str] = []
    plain = {
        "sensor": sensor.name,
        "source": sensor.source,
        "resolution": sensor.resolution,
        "windows_asked": len(spans),
    }
    if reason := _silent(series):
        return Energy(**plain, not_measured=reason, warnings=track.notes())
    used = _usable(series, spans, "window", warnings)
    joules = np.array([series.joules(span.start, span.end) for span in used]).reshape(len(used), len(counted))
    totals = joules[:, counted].sum(axis=1)
    if not used or (totals <= 0).any():
        reason = f"{totals.min():.3g} J for a window under load" if used else "no window has enough readings"
        return Energy(**plain, not_measured=reason, warnings=(*warnings, *track.notes()))
    inferences = np.array([len(span.calls) * batch for span in used])
    seconds = np.array([span.seconds for span in used])
    idle = _idle(series, rest, counted, warnings)
    net = Spread.of((totals - idle.median * seconds) / inferences) if idle else None
    if net and net.low <= 0:
        warnings.append("net of idle is not above zero in every window: too little to tell from the baseline")
    rails = np.median(joules / inferences[:, None], axis=0)
    return Energy(
        **plain,
        gross=Spread.of(totals / inferences),
        net=net,
        power=Spread.of(totals / seconds),
        idle=idle,
        rails={rail.name: float(value) for rail, value in zip(sensor.rails, rails, strict=True)},
        windows=len(used),
        seconds=float(seconds.min()),
        readings=min(series.readings(span.start, span.end) for span in used),
        warnings=(*warnings, *track.notes()),
    )


def _usable(series: Series, spans: list[Span], what: str, warnings: list[str]) -> list[Span]:
    """The stretches of time that the sensor has seen; what it has not is told."""
    used = []
    for number, span in enumerate(spans, 1):
        gaps = series.gaps(span.start, span.end)
        missing = sum(length for _, length in gaps)
        lost = not np.isfinite(series.joules(span.start, span.end)).all()
        left_out = lost or missing > MOST_MISSING * span.seconds
        if gaps:
            places = ", ".join(f"{length:.2f} s from {at:.2f} s on" for at, length in gaps[:3])
            more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
            warnings.append(
                f"{what} {number}: no readings for {places}{more} of {span.seconds:.1f} s"
                f"{'; left out' if left_out else '; bridged by a straight line'}"
            )
        elif lost:
            warnings.append(f"{what} {number}: the counter was reset; left out")
        if not left_out:
            used.append(span)
    return used


def _silent(series: Series) -> str | None:
    """Why nothing can be made of what a sensor has said, throughout."""
    if not len(series.at):
        return "the sensor did not answer once"
    if series.counts and not np.ptp(series.values, axis=0).any():
        return "the counter stood still, so it counts nothing"
    if not series.values.any():
        return "the sensor said 0 throughout, so it measures nothing"
    return None


def _idle(series: Series, rest: list[Span], counted: np.ndarray, warnings: list[str]) -> Spread | None:
    """Watts at rest."""
    used = _usable(series, rest, "idle part", warnings)
    if not used:
        warnings.append("no idle baseline: the sensor did not answer at rest, so there is no net figure")
        return None
    spans = [(series.joules(span.start, span.end)[counted].sum(), span.seconds) for span in used]
    idle = Spread.of([joules / seconds for joules, seconds in spans])
    if idle.high - idle.low > UNSTEADY * abs(idle.median):
        warnings.append(f"the idle baseline is unsteady: {idle.low:.3g} to {idle.high:.3g} W; something else ran")
    return idle
