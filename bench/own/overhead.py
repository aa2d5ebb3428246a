"""What edge_runtime adds to one call of the engine: ``Model.infer`` next to ONNX Runtime's own ``run``, in turns.

    python -m compress.bench.own.overhead m.edge --key key.pub

Both ask the same engine session with the same arrays, so they differ in nothing but the code in between. Told as a
ratio of times with its 95 % interval, and in microseconds, which is what it really is: a constant.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from compress.bench import stats
from edge_runtime import open_model
from edge_runtime.bundle.signature import load_public
from edge_runtime.probes import latency

LIMIT = 1.03
"""Most that a call through Model may take, as a ratio to the engine's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path, help="of a model with one input, on ONNX Runtime")
    parser.add_argument("--key", type=Path, required=True, help="the public key that signed it")
    parser.add_argument("--seconds", type=float, default=40.0)
    arguments = parser.parse_args()
    key = load_public(arguments.key)
    opened = []

    def reopen(names: list[str]) -> dict[str, latency.Call]:
        model = open_model(arguments.bundle, keys=[key])
        opened.append(model)
        manifest = model.contents.manifest
        inputs = {manifest.inputs[0].name: model.contents.array(manifest.golden["inputs"])[:1]}
        outputs = [tensor.name for tensor in manifest.outputs]
        engine = model.session._call
        calls = {"engine": lambda: engine(outputs, inputs), "model": lambda: model.infer(inputs)}
        return {name: calls[name] for name in names}

    samples = latency.interleave(("engine", "model"), rounds=1000, seconds=arguments.seconds, reopen=reopen)
    for model in opened:
        model.close()
    alone, through = (samples.block_medians(name) for name in ("engine", "model"))
    ratio = stats.ratio_interval(through, alone, samples.placement)
    met = "met" if ratio.high <= LIMIT else "not met" if ratio.low > LIMIT else "cannot tell"
    print(f"engine {np.median(alone) * 1e6:.1f} us, through Model {np.median(through - alone) * 1e6:.2f} us more")
    print(
        f"x{ratio.value:.4f} [{ratio.low:.4f}, {ratio.high:.4f}] of x{LIMIT}: {met}; {samples.method['rounds']} rounds"
    )


if __name__ == "__main__":
    main()
