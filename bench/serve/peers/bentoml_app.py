"""BentoML, as its documentation begins: a service class, a method, a list of numbers."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=int(os.environ["WORKERS"]))
class Classifier:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, data: list[int]) -> list[list[float]]:
        array = np.array(data, dtype=np.uint8).reshape(1, 1, 28, 28)
        return self.session.run(None, {"input": array})[0].tolist()
