"""Olive's latency metric of an ONNX file, with its defaults, on one thread; prints milliseconds as JSON.

It runs in Olive's own environment, and so imports nothing of this project. Argument: the ONNX file.
"""

import json
import logging
import sys

from olive.data.config import DataComponentConfig, DataConfig
from olive.evaluator.metric import Metric
from olive.evaluator.olive_evaluator import OnnxEvaluator
from olive.hardware import Device
from olive.model import ONNXModelHandler


def main(path: str) -> None:
    logging.disable(logging.WARNING)
    model = ONNXModelHandler(path, inference_settings={"session_options": {"intra_op_num_threads": 1}})
    wanted = model.io_config
    inputs = {
        "input_names": wanted["input_names"],
        "input_shapes": wanted["input_shapes"],
        "input_types": wanted["input_types"],
        "max_samples": 1,
    }
    data = DataConfig(
        name="random",
        type="DummyDataContainer",
        load_dataset_config=DataComponentConfig(type="dummy_dataset", params=inputs),
    )
    metric = Metric(
        name="latency",
        type="latency",
        sub_types=[{"name": "avg"}, {"name": "p50"}],
        data_config=data,
    )
    found = OnnxEvaluator().evaluate(model, [metric], Device.CPU, ["CPUExecutionProvider"])
    print(json.dumps({name.partition("-")[2]: one.value for name, one in found.root.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
