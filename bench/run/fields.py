"""Every field of results.json in words, with its unit: the source of docs/results.md. A test keeps it complete.

By class of :mod:`compress.bench.run.results` or :mod:`compress.bench.figures`, field: (unit, meaning). Units: s, B
(bytes), J, W, fraction (0 to 1), ratio, count.
"""

from __future__ import annotations

RATIO = "time(reference) / time(this): above 1 is faster"

ENERGY = {
    "sensor": ("", "which one; `none`, or `model` for a modelled figure"),
    "source": ("", "what it sees and what it misses, in words"),
    "measured": ("", "false for a modelled figure: watts that were given, by the time of an inference"),
    "gross": ("J", "for an inference (of one sample): median of the windows, least and largest, as all of these"),
    "net": ("J", "for an inference, the idle baseline taken off; null without one"),
    "power": ("W", "under load"),
    "idle": ("W", "at rest"),
    "rails": ("J", "gross for an inference by rail, also those that the total does not count"),
    "windows": ("count", "that were used"),
    "windows_asked": ("count", "that were measured"),
    "seconds": ("s", "of the shortest window"),
    "resolution": ("J or W, s", "`step` of a reading, `interval` between two, `span` it is averaged over"),
    "none": ("", "why there is no figure; null where there is one"),
    "warnings": ("", "everything that went wrong, in words"),
}

FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "Results": {
        "name": ("", "the recipe's name"),
        "created": ("ISO 8601, UTC", "when the answer was put together; measurements may be older, see `conditions`"),
        "recipe": ("", "the recipe, only the keys that were given"),
        "environment": ("", "`machine`, `versions` of the packages, `python`, and the recipe's `folder`; see below"),
        "conditions": (
            "",
            "by measurement: the machine's state `before` and `after`, and the time `taken`; see below",
        ),
        "data": ("", "the data's name, licence, splits and fingerprints; see below"),
        "method": (
            "",
            "how it was measured: `latency` and, where asked for, `energy` by measurement, and `ratio`, `accuracy`, "
            "`memory` in words",
        ),
        "stages": ("", "list of StageRecord, in order of execution"),
        "variants": ("", "list of Variant: the rows of the table"),
        "verdicts": ("", "list of Verdict"),
        "budget": ("", "list of BudgetLine; empty where the recipe sets no limit"),
    },
    "Variant": {
        "id": ("", "`stage/target/runtime`, unique in a run"),
        "stage": ("", "name of the stage that made it: `teacher`, `prune`, `quantize-2`"),
        "step": ("count", "place in the recipe; the teacher is 0"),
        "parent": ("", "`id` of the variant a step before on the same target and runtime; null for a teacher"),
        "target": ("", "a name of `compress targets`"),
        "runtime": ("", "what executes it: `onnxruntime`, `openvino`, `pytorch`, ..."),
        "precision": ("", "`fp32`, `int8`, `int4-weights`, ..."),
        "file": ("", "relative to the run's folder; a runtime may need the files beside it"),
        "size": ("B", "of all its files, as they travel to the device"),
        "params": ("count", "parameters of the network"),
        "macs": ("count", "multiply-accumulate operations for one sample"),
        "not_measured": ("", "why there is no latency, accuracy and memory; null where there are"),
        "threads": ("count", "of the measurement"),
        "batch": ("count", "samples in a call of the measurement"),
        "latency": ("", "Latency"),
        "memory": ("", "Memory"),
        "accuracy": ("", "Accuracy on the test split, through this very file and runtime"),
        "agreement": (
            "fraction",
            "equal argmax with `torch` (PyTorch, the same stage) and `float` (the file int8 was made from); "
            "`max_abs_diff` and `float_max_abs_diff`: the largest difference of a logit to each",
        ),
        "coverage": ("", "Coverage, of a quantized file"),
        "max_drop": ("", "Promise, of a quantization that was asked for one"),
        "right": (
            "base64",
            "one bit a test sample in the data's order, set where the answer was right (`numpy.packbits`: the first "
            "sample is the highest bit of the first byte); with it two runs are compared in pairs",
        ),
        "flash": (
            "B",
            "that the files take on a device, in blocks of 4096 bytes; the rest of its bundle comes on top "
            "(`compress bundle` says it), and so do edge-runtime and its engine",
        ),
        "energy": ("", "list of Energy, one a sensor; empty unless the recipe asks for it (`measure.energy`)"),
    },
    "Latency": {
        "p50": ("s", "the typical call: the estimate that `interval` belongs to, over the medians of rounds"),
        "p90": ("s", "90th percentile of all calls"),
        "p99": ("s", "99th percentile of all calls"),
        "mean": ("s", "of all calls"),
        "throughput": ("samples/s", "`batch / p50`"),
        "n": ("count", "calls"),
        "ratio_to_teacher": ("ratio", f"Interval; {RATIO}; the float teacher on the same runtime"),
        "ratio_to_torch": ("ratio", f"Interval; {RATIO}; the teacher in PyTorch"),
        "ratio_to_parent": ("ratio", f"Interval; {RATIO}; the step before"),
        "interval": ("s", "Interval of `p50`, from how rounds or openings differ; null for fewer than 6 rounds"),
        "percentiles": ("s", "the 0th, 1st, ... 100th of all calls, for plots; may be empty"),
        "p50_calls": ("s", "the median of all calls together; not `p50` where calls or openings have two speeds"),
    },
    "Memory": {
        "interpreter": ("B", "resident memory of a fresh process before the model is loaded"),
        "loaded": ("B", "after it is loaded"),
        "peak": ("B", "the most while it ran"),
    },
    "Energy": ENERGY,
    "Accuracy": {
        "correct": ("count", "right answers"),
        "n": ("count", "test samples"),
        "value": ("fraction", "`correct / n`"),
        "interval": ("fraction", "Interval (Wilson)"),
        "drop_vs_teacher": ("fraction", "PairedDifference to the float teacher on the same runtime"),
        "drop_vs_parent": ("fraction", "PairedDifference to the step before"),
    },
    "Interval": {
        "value": ("as the quantity", "the estimate"),
        "low": ("as the quantity", "lower end of the 95 % interval"),
        "high": ("as the quantity", "upper end of the 95 % interval"),
    },
    "PairedDifference": {
        "value": ("fraction", "accuracy(reference) - accuracy(this): above 0 is a loss"),
        "low": ("fraction", "lower end of the 95 % interval (Tango)"),
        "high": ("fraction", "upper end of the 95 % interval (Tango)"),
        "p_mcnemar": ("fraction", "p of McNemar's exact test"),
        "better": ("count", "samples newly right"),
        "worse": ("count", "samples newly wrong"),
        "n": ("count", "samples compared"),
    },
    "Coverage": {
        "int8": ("count", "convolutions and matrix products that run in integers"),
        "layers": ("count", "convolutions and matrix products"),
        "unfused": ("count", "quantizers and dequantizers that cost time and save none"),
        "floating": ("", "why, by the name of each layer that runs in float"),
        "weight_bytes": ("B", "of the stored weights, by number format"),
    },
    "Promise": {
        "limit": ("fraction", "accuracy that may be lost on validation"),
        "high": ("fraction", "upper end of what may have been lost"),
        "met": ("", "whether it is kept"),
    },
    "Verdict": {
        "stage": ("", "the stage judged; `student` is the recommended variant against the teacher"),
        "target": ("", "where"),
        "runtime": ("", "on what"),
        "verdict": ("", "`paid`, `did not pay`, `cannot tell` or `not measured`"),
        "reason": ("", "in words"),
        "variant": ("", "`id` of the variant judged"),
    },
    "BudgetLine": {
        "what": ("", "`accuracy_drop`, `latency`, `size`, `memory` or `speedup`"),
        "limit": ("fraction, s, B or ratio", "by `what`"),
        "value": ("fraction, s, B or ratio", "by `what`; null where it was not measured"),
        "target": ("", "where"),
        "runtime": ("", "on what"),
        "met": ("", "true, false, or null: it cannot be told"),
        "by": ("", "by how much, or why it cannot be told, in words"),
    },
    "StageRecord": {
        "label": ("", "name of the step, unique in a run"),
        "kind": ("", "`teacher`, `prune`, `distill`, `quantize`, `export`, `evaluate`, `measure`"),
        "key": ("SHA-256", "address of its artifact in the store: equal keys, equal artifacts"),
        "seconds": ("s", "that it took when it was made"),
        "cached": ("", "whether this run found it in the store"),
        "settings": ("", "the keys of the recipe that it saw, and what it read itself"),
        "story": ("", "what happened, line by line"),
    },
}

FREE: dict[str, dict[str, tuple[str, str]]] = {
    "environment.machine": {
        "arch, cpu, model": ("", "instruction set, the processor's name, and the board's where there is one"),
        "cores": ("count", "physical cores"),
        "features": ("", "instruction-set extensions that matter for speed"),
        "memory": ("B", "of the machine"),
        "os, kernel, python": ("", "versions"),
        "sensors, gpu": ("", "power sensors and graphics processors found"),
    },
    "conditions.<measurement>.before and .after": {
        "governor": ("", "frequency governor; null where it cannot be read"),
        "frequency": ("Hz", "of the fastest core"),
        "temperature": ("degrees Celsius", "of the hottest processor zone"),
        "throttled": ("", "whether the processor was throttled at that moment"),
        "throttle_count": ("count", "throttlings since the machine was started"),
        "load_average": ("processes", "over 1, 5 and 15 minutes"),
    },
    "data": {
        "splits": ("count", "samples by split"),
        "dropped": ("count", "samples left out because a more protected split holds the same"),
        "fingerprint": ("SHA-256", "over inputs and labels of all splits"),
        "test_fingerprint": ("SHA-256", "over the test split's: with equal ones, `right` can be compared in pairs"),
        "classes": ("", "their names, in the order of the logits"),
    },
}
"""What the free dictionaries hold; keys may be added without notice, and a reader must not rely on one being there."""
