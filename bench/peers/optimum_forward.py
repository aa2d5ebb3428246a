"""optimum-benchmark's inference scenario with its defaults, on one thread; writes its report as JSON.

It runs in optimum-benchmark's own environment, and so imports nothing of this project. Arguments: a folder with
``config.json`` and ``model.onnx``, and the report to write.
"""

import json
import logging
import sys

import onnx
from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, InlineConfig, ORTConfig


def main(folder: str, report: str) -> None:
    logging.disable(logging.WARNING)
    axes = onnx.load(f"{folder}/model.onnx").graph.input[0].type.tensor_type.shape.dim
    names = ("batch_size", "num_channels", "height", "width")
    backend = ORTConfig(
        model=folder,
        task="image-classification",
        library="transformers",
        model_type="resnet",
        device="cpu",
        session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
        export=False,
        use_io_binding=False,
    )
    scenario = InferenceConfig(
        latency=True, input_shapes={name: axis.dim_value for name, axis in zip(names, axes, strict=True)}
    )
    config = BenchmarkConfig(name="chain", launcher=InlineConfig(), scenario=scenario, backend=backend)
    found = Benchmark.launch(config)
    with open(report, "w", encoding="utf-8") as file:
        json.dump(found.to_dict(), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
