"""Every field of benchmark.json in words, with its unit: the source of docs/benchmark-schema.md. A test keeps it
complete.

By class of :mod:`compress.bench.benchmark.results`, field: (unit, meaning), as in
:mod:`compress.bench.run.fields`.
"""

from __future__ import annotations

from compress.bench.run.fields import ENERGY

RATIO = "time(first model) / time(this): above 1 is faster"
LOAD = {
    "model": ("", "its name"),
    "threads": ("count", "of the measurement"),
    "batch": ("count", "samples in a call of the measurement"),
}

FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "Benchmark": {
        "target": ("", "as it was called: a name of `compress targets`, or an address"),
        "created": ("ISO 8601, UTC", "when the device began"),
        "command": ("", "the command line, word by word; empty where it is not known"),
        "version": ("", "of edge-runtime on the device"),
        "machine": ("", "as the device found it; keys as in results.json"),
        "plan": ("", "what was asked: `edge-runtime.bench/1`, as the device read it"),
        "models": ("", "list of Model, in the plan's order"),
        "cells": ("", "list of Cell, in the order in which they were measured; those not begun are in `missing`"),
        "cold": ("", "list of ColdStart"),
        "memory": ("", "list of Memory"),
        "energy": ("", "list of Energy: one a model and sensor; one with `none` where there was no sensor"),
        "sustained": ("", "list of Sustained"),
        "floors": ("", "list of Floor; empty without `peaks`"),
        "refused": ("", "list of Refused"),
        "peaks": ("", "highest rates of the machine, as the device gave them; empty unless asked for"),
        "profiles": ("", "times of layers, as the device gave them; empty unless asked for"),
        "conditions": ("", "the machine's state at the beginning and the end; keys as in results.json, see below"),
        "doubts": ("", "list of Doubt, about all that was measured there"),
        "emulated": ("", "whether a program played the processor: its times say nothing of hardware"),
        "complete": ("", "whether the plan was carried out to its end"),
        "missing": ("", "what the plan asked for and nobody answered or refused, in words"),
        "why": ("", "how it ended, in words"),
    },
    "Model": {
        "name": ("", "unique in a benchmark"),
        "path": ("", "in the plan's folder"),
        "runtime": ("", "what executed it; null where it was not opened and not named"),
        "version": ("", "the runtime's"),
        "size": ("B", "of the file and of what lies beside it that it needs"),
        "inputs": ("", "list of `name`, `dtype` and `shape`; in a shape, an axis left open is its name or null"),
        "outputs": ("", "the same of the outputs"),
        "source": ("", "what it was fed, in words: random by which seed, or which file"),
        "assumed": ("count", "sizes of axes that neither model nor plan gives, by axis"),
        "flash": (
            "B",
            "that it takes on a device in blocks of 4096 bytes: of a bundle all its files and folders as installed, "
            "else the model's files; without edge-runtime and its engine; null where the files were not at hand",
        ),
        "bundle": ("", "name, sequence number and id of the bundle that it came in; null for a plain file"),
    },
    "Cell": {
        "id": ("", "`scenario/tTHREADS/bBATCH`"),
        "scenario": ("", "`single-stream`, `multi-stream`, `offline` or `batch`"),
        "threads": ("count", "of one call"),
        "batch": ("count", "samples of a call; of multi-stream those of a query"),
        "timings": ("", "list of Timing, in the plan's order"),
        "fastest": ("", "the models that none was shown to beat; one alone is the fastest"),
        "ended_by": ("", "`precision`, `seconds`, or `interrupted`: what there was until then"),
        "rounds": ("count", "of the model that has most"),
        "placements": ("count", "how often the models were opened"),
        "method": ("", "how it was measured, as the device says; see below"),
        "conditions": ("", "the machine's state `before`, `after`, and the `worst` of each between; see below"),
        "doubts": ("", "list of Doubt, about all its rows"),
        "alike": ("", "the pairs of `fastest` that are shown to be within 2 % of each other"),
    },
    "Timing": {
        "model": ("", "its name"),
        "samples": ("count", "in a call; of `offline` in a burst"),
        "n": ("count", "calls; of `offline` bursts"),
        "rounds": ("count", "that it took part in"),
        "p50": (
            "s",
            "Interval; the typical call: of each opening the median of its rounds' medians, of the openings "
            "Hodges-Lehmann's estimate (fewer than 6: the median of rounds' medians); of `offline` seconds a sample",
        ),
        "p90": ("s", "Interval; 90th percentile of all calls; null for fewer than 64"),
        "p99": ("s", "Interval; 99th percentile; null for fewer than 662 calls"),
        "p999": ("s", "Interval; 99.9th percentile; null for fewer than 6636 calls"),
        "mean": ("s", "of all calls"),
        "slowest": ("s", "the slowest call"),
        "throughput": ("samples/s", "Interval; samples by the time that all calls took together"),
        "metric": ("", "Metric, MLPerf's for the scenario"),
        "outliers": (
            "count",
            "calls above median + 10 x 1.4826 x MAD and above 1.5 x median, of all calls; they stay in every figure",
        ),
        "said": ("", "`first`, `faster`, `slower`, `within 2 %`, `no difference to tell` or `too few rounds`"),
        "ratio_to_first": ("ratio", f"Interval; {RATIO}; null for the first model and for fewer than 6 common rounds"),
        "warm_up": ("", "as the device says: blocks, seconds, whether it was `stationary` (null: too short to tell)"),
        "doubts": ("", "list of Doubt, about this row"),
        "percentiles": ("s", "the 0th, 1st ... 100th of all calls, for drawings"),
        "p50_calls": (
            "s",
            "the median of all calls together; apart from `p50` where calls or openings have two speeds",
        ),
    },
    "Metric": {
        "name": ("", "what it is, with its unit"),
        "value": ("", "Interval; null where too little was measured"),
    },
    "Doubt": {
        "word": ("", "for the table"),
        "text": ("", "what it is, and what to do about it"),
    },
    "ColdStart": {
        "model": ("", "its name"),
        "threads": ("count", "of the measurement"),
        "n": ("count", "fresh processes"),
        "interpreter": ("s", "start of Python with numpy; median, least and largest, as all of these"),
        "engine": ("s", "import of the engine"),
        "load": ("s", "of the model"),
        "first": ("s", "the first inference"),
        "second": ("s", "the second, to see what the first one cost"),
        "total": ("s", "interpreter, engine, load and first together"),
    },
    "Memory": {
        **LOAD,
        "interpreter": ("B", "resident: Python with numpy, before anything else"),
        "engine": ("B", "resident above `interpreter` when the engine is imported"),
        "loaded": ("B", "above `interpreter` when the model is loaded"),
        "first": ("B", "above `interpreter` after the first inference"),
        "peak": ("B", "above `interpreter`, the most of all"),
        "gpu": ("B", "on the GPU; null where there is none"),
    },
    "Energy": {
        **LOAD,
        **ENERGY,
        "method": ("", "how it was measured, as the device says"),
        "latency": (
            "s",
            "of a call in the same windows: the median of their medians, the least and the largest; null for a "
            "modelled figure, and where nothing was measured",
        ),
    },
    "Sustained": {
        **LOAD,
        "moments": ("", "list of Moment"),
        "start": ("s", "median of the first tenth of the moments' p50"),
        "end": ("s", "median of the last tenth of them"),
        "complete": ("", "whether it lasted as long as was asked"),
        "throttled_at": ("s", "after how long throttling began; null where none was seen"),
        "why": ("", "how it was seen, or why it could not have been"),
    },
    "Moment": {
        "second": ("s", "since the load began"),
        "p50": ("s", "median of its calls"),
        "p99": ("s", "99th percentile of its calls"),
        "n": ("count", "calls"),
        "frequency": ("Hz", "of the fastest core; null where it cannot be read"),
        "temperature": ("degrees Celsius", "of the hottest processor zone"),
        "throttled": ("", "whether the machine said so"),
    },
    "Floor": {
        "model": ("", "its name"),
        "cell": ("", "`id` of the cell whose median it is compared with"),
        "macs": ("count", "multiply-accumulates of a call, counted in the file"),
        "moved": ("B", "weights, inputs and outputs, and activations that no cache holds"),
        "seconds": ("s", "a call takes at least, by the machine's measured peaks"),
        "low": ("s", "the floor if the peaks were a tenth higher"),
        "high": ("s", "if they were a tenth lower and everything came from memory"),
        "side": ("", "what binds: `compute` or `memory`"),
        "source": ("", "where its bytes come from: memory, or a cache"),
        "reached": ("fraction", "floor / median: how close the model comes"),
        "notes": ("", "what is not known or not counted, in words"),
    },
    "Refused": {
        "model": ("", "its name; empty for all of them"),
        "what": ("", "`open`, `cold`, `memory`, `energy`, `sustain`, `profile`, `peaks`, or a cell's id"),
        "code": ("", "stable name of the error, such as `engine-missing`"),
        "reason": ("", "in words, with what to do"),
    },
    "Interval": {
        "value": ("", "the estimate"),
        "low": ("", "lower end of the 95 % interval, or the least, where that is said"),
        "high": ("", "upper end, or the largest"),
    },
}

FREE: dict[str, dict[str, tuple[str, str]]] = {
    "Cell.conditions.before, .after and .worst": {
        "governor, power_mode": ("", "of the frequency; of a Jetson; null where it cannot be read"),
        "frequency": ("Hz", "of the fastest core; `worst` is the lowest seen"),
        "temperature": ("degrees Celsius", "of the hottest processor zone"),
        "throttled, under_voltage, throttle_flags": ("", "what the machine says of that moment"),
        "throttle_count": ("count", "throttlings since the machine was started"),
        "load_average": ("processes", "over 1, 5 and 15 minutes"),
        "others": ("fraction", "of the whole processor that other programs used since the look before"),
        "measuring": ("count", "other benchmarks that measured on the same machine at that moment"),
    },
    "Cell.method": {
        "rounds, placements": ("count", "rounds, and openings of the models"),
        "ended_by, precision_asked, half_width": (
            "fraction",
            "why it ended; the widest interval's half at the last look",
        ),
        "seconds, seconds_asked, warm_up_seconds, opening_seconds": ("s", "how long it took, and its parts"),
        "block_seconds, calls_per_block": ("s, count", "a block's length, and calls in it by model"),
        "warm_up": ("", "by model: blocks, seconds, whether it was stationary; null: too short to tell"),
        "clock, garbage_collector, protocol, calls, seed": ("", "how, in words"),
    },
}
"""What the free dictionaries hold; keys may be added without notice, and a reader must not rely on one being there."""
