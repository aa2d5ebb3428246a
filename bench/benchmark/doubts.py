"""What makes figures doubtful: rules over the machine's state before, during and after, and over how a cell went.

A doubt stands in the table itself, beside the figures, as one word; below it stands what it is and what to do. What
cannot be read (in a virtual machine mostly the governor, the frequency, the temperature) is no doubt and no comfort: it
stands among the conditions as "not readable".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compress.bench import words
from compress.bench.benchmark.results import Doubt
from compress.bench.figures import Interval
from compress.bench.stats import MIN_ROUNDS

MOVED = 0.05
"""Share by which the frequency may differ between before and after."""
OTHERS = 0.1
"""Share of the processor that others may use."""
FEW_ROUNDS = 10
"""Below it the intervals hold the truth in 92 to 99 % instead of 95 % (:mod:`compress.bench.stats`)."""
APART = 0.01
"""Share by which the median of all calls may differ from the typical one, however narrow the interval is."""
MANY = 0.1
"""Share of calls beyond which outliers are none."""
STEADY = ("performance",)

State = Mapping[str, Any]

EMULATED = Doubt(
    "emulated",
    "a program plays this processor: the times are those of the emulator and say nothing of hardware",
)


def of_conditions(conditions: Mapping[str, Any]) -> list[Doubt]:
    """Of a cell's ``before``, ``after`` and, where it is told, ``worst``."""
    states = [conditions.get(when) or {} for when in ("before", "worst", "after")]
    before, _, after = states
    found = [_governor(states), _throttled(states, before, after), _voltage(states), _moved(before, after)]
    return [doubt for doubt in [*found, _others(states), _measuring(states)] if doubt]


def of_threads(threads: int, cores: int | None) -> list[Doubt]:
    """``cores``: of the machine; None where it is not known."""
    if not cores or threads <= cores:
        return []
    counted = f"{cores} core{'' if cores == 1 else 's'}"
    return [
        Doubt("more threads than cores", f"{threads} threads share {counted} and wait for each other: ask for fewer")
    ]


def of_cell(rounds: int, ended_by: str, precision: float) -> list[Doubt]:
    """Of how a cell went."""
    found = []
    if ended_by == "interrupted":
        found.append(Doubt("partial", "the measurement was cut off in the middle: what there was until then"))
    elif ended_by == "seconds" and precision > 0:
        found.append(
            Doubt(
                "time ran out",
                f"the time was up before the intervals were within +-{100 * precision:g} %: give more --seconds",
            )
        )
    if rounds < MIN_ROUNDS:
        found.append(Doubt("few rounds", f"{rounds} rounds: too few for any interval; give more --seconds"))
    elif rounds < FEW_ROUNDS:
        found.append(Doubt("few rounds", f"{rounds} rounds: the intervals are rough; give more --seconds"))
    return found


def of_model(warm_up: Mapping[str, Any], assumed: Mapping[str, int]) -> list[Doubt]:
    """Of one model in a cell: whether it had come to rest, and whether it was fed what it is meant for."""
    found = []
    stationary = warm_up.get("stationary", True)
    if stationary is None:
        found.append(
            Doubt(
                "short warm-up",
                f"{warm_up.get('blocks', 'its few')} blocks of calls fitted into its warm-up, too few to tell whether "
                "it had come to rest: give more --seconds",
            )
        )
    elif not stationary:
        found.append(
            Doubt("still warming", "it was still becoming faster or slower when its warm-up ended: give more --seconds")
        )
    if assumed:
        sizes = ", ".join(f"{axis} = {size}" for axis, size in assumed.items())
        found.append(
            Doubt("sizes assumed", f"the model leaves {sizes} open: say which it is for, with --axis or --inputs")
        )
    return found


def of_times(typical: Interval, of_calls: float, outliers: float) -> list[Doubt]:
    """Of one model's times in a cell, which one number does not describe.

    ``typical``: the median that is shown, ``of_calls``: that of all calls, both in seconds; ``outliers``: their share.
    """
    found = []
    if not typical.low <= of_calls <= typical.high and abs(of_calls / typical.value - 1) > APART:
        found.append(
            f"the median of all calls is {words.seconds(of_calls)}, outside the interval of the typical one, which "
            "goes by openings"
        )
    if outliers > MANY:
        found.append(f"{100 * outliers:.0f} % of the calls take 1.5 times the median or more")
    if not found:
        return []
    look = "look at the distribution in the report, and at what else runs there"
    return [Doubt("two speeds", f"{' and '.join(found)}: {look}")]


def _governor(states: Iterable[State]) -> Doubt | None:
    names = {name for state in states for name in str(state.get("governor") or "performance").split("+")}
    other = sorted(names - set(STEADY))
    if not other:
        return None
    return Doubt(
        "governor",
        f"the frequency governor is {'+'.join(other)}, so the clock follows the load: "
        "`cpupower frequency-set -g performance` as root holds it",
    )


def _throttled(states: Iterable[State], before: State, after: State) -> Doubt | None:
    counts = [state.get("throttle_count") for state in (before, after)]
    events = counts[1] - counts[0] if None not in counts else 0
    if not events and not any(state.get("throttled") for state in states):
        return None
    times = f" ({events} times)" if events else ""
    return Doubt("throttled", f"the processor was slowed down by heat or power{times}: cool it, or feed it better")


def _voltage(states: Iterable[State]) -> Doubt | None:
    if not any(state.get("under_voltage") for state in states):
        return None
    return Doubt("under-voltage", "the supply's voltage fell too low, so the clock is held down: use a better supply")


def _moved(before: State, after: State) -> Doubt | None:
    first, last = before.get("frequency"), after.get("frequency")
    if not first or not last or abs(last / first - 1) <= MOVED:
        return None
    return Doubt("clock moved", f"the clock went from {first / 1e9:.2f} to {last / 1e9:.2f} GHz")


def _others(states: Iterable[State]) -> Doubt | None:
    shares = [state["others"] for state in states if isinstance(state.get("others"), int | float)]
    if not shares or max(shares) <= OTHERS:
        return None
    return Doubt("others", f"other programs used up to {100 * max(shares):.0f} % of the processor: stop them")


def _measuring(states: Iterable[State]) -> Doubt | None:
    if not any(state.get("measuring") for state in states):
        return None
    return Doubt(
        "another benchmark", "another benchmark measured on this machine at the same time: let them take turns"
    )
