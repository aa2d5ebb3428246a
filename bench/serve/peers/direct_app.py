"""An application that runs the model on the bytes after the JSON and sends its logits, and checks nothing: what a
request costs at the very least when there is a model."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])


async def app(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message.get("more_body", False)
    pixels = np.frombuffer(body, np.uint8, 784, len(body) - 784).reshape(1, 1, 28, 28)
    answer = session.run(None, {"input": pixels})[0].tobytes()
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
