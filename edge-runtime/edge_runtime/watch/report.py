"""What a monitor knows, as numbers for a metrics page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.serve.metrics import Sample

if TYPE_CHECKING:
    from edge_runtime.watch.monitor import Monitor

QUANTILES = (0.5, 0.9, 0.99)


def samples(monitor: Monitor) -> list[Sample]:
    """The caller holds the monitor's locks."""
    drift, alarms = monitor.drift, monitor.drift.alarms
    found: list[Sample] = []

    def add(name: str, value: float, help: str, **labels: str) -> None:
        kind = "counter" if name.endswith("_total") else "gauge"
        found.append(Sample(f"edge_runtime_{name}", float(value), labels, kind, help))

    for level in QUANTILES:
        value = monitor.durations.quantile(level)
        if value is not None:
            add("watch_duration_seconds", value, "Time of an inference, restarts included.", quantile=f"{level:g}")
    add("watch_observations_total", monitor.observed, "Samples that went through the model.")
    add("watch_judged_total", drift.judged, "Samples that were judged for drift.")
    add("watch_unfit_total", drift.unfit, "Samples that cannot be compared with the reference.")
    add("watch_dropped_total", monitor.worker.dropped, "Calls that there was no time to judge.")
    add("watch_failures_total", monitor.worker.failed, "Calls that could not be judged.")
    verdicts = drift.windows.last if drift.windows else {}
    for name, verdict in verdicts.items():
        add("drift_statistic", verdict.statistic, "Distance of the last window from the reference.", detector=name)
        if verdict.threshold is not None:
            add("drift_threshold", verdict.threshold, "Distance beyond which a window has drifted.", detector=name)
    on = {alarm.detector for alarm in alarms.on()}
    for name in sorted(on | set(verdicts) | set(alarms.raised)):
        add("drift_alarm", name in on, "1 while an alarm is on.", detector=name)
        add("drift_alarms_total", alarms.raised.get(name, 0), "Alarms raised.", detector=name)
    return found
