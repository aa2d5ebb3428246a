"""LitServe, as its documentation begins."""

from __future__ import annotations

import os
import sys

import litserve
import numpy as np
import onnxruntime


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["data"], dtype=np.uint8).reshape(1, 1, 28, 28)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"input": pixels})[0]

    def encode_response(self, logits: np.ndarray) -> dict:
        return {"logits": logits.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=int(os.environ["WORKERS"]))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
