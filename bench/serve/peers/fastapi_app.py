"""What people write first: FastAPI, uvicorn, a JSON list of numbers, the model called in the handler."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # as for all here; its own choice of all cores is slower when requests come together
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Pixels(BaseModel):
    data: list[int]


@app.post("/predict")
def predict(pixels: Pixels) -> dict[str, list[list[float]]]:
    array = np.array(pixels.data, dtype=np.uint8).reshape(1, 1, 28, 28)
    return {"logits": session.run(None, {"input": array})[0].tolist()}
