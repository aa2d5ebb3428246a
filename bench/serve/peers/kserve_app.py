"""KServe's own model server: another server of the same protocol, with binary tensors, from its authors."""

from __future__ import annotations

import os
import sys

import kserve
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse


class Classifier(kserve.Model):
    def __init__(self) -> None:
        super().__init__("bench")
        self.load()

    def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.ready = True
        return True

    def predict(self, request: InferRequest, headers: dict | None = None, response_headers: dict | None = None):
        [pixels] = request.inputs
        logits = self.session.run(None, {"input": pixels.as_numpy()})[0]
        output = InferOutput("logits", list(logits.shape), "FP32")
        output.set_data_from_numpy(logits, binary_data=True)
        return InferResponse(request.id or "0", "bench", [output], use_binary_outputs=True)


if __name__ == "__main__":
    kserve.ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([Classifier()])
