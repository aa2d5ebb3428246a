"""Engines beside PyTorch, on PyTorch's memory and stream: ONNX Runtime's CUDA provider, and TensorRT.

*Not run on a GPU yet*: ONNX Runtime's part runs on the CPU by the same binding; TensorRT's follows its reference.

https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .exported import INPUT, OUTPUT
from .hardware import Call
from .refused import Refused
from .ways import Job

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
ELEMENTS = {torch.float32: np.float32, torch.float16: np.float16}


class OnnxRuntime:
    """Input and answer are bound where they lie; work is queued on PyTorch's stream, and nobody waits for it."""

    def __init__(self, job: Job) -> None:
        import onnxruntime

        self.version = onnxruntime.__version__
        self._hardware = job.hardware
        file = job.folder / f"{'fp16' if job.way.precision == 'fp16' else 'fp32'}.onnx"
        self.size = file.stat().st_size
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if job.hardware.cuda:
            if CUDA not in onnxruntime.get_available_providers():
                raise Refused(
                    "missing",
                    f"onnxruntime {self.version} has no CUDA provider: python -m pip uninstall onnxruntime; python -m "
                    "pip install onnxruntime-gpu",
                )
            settings = {
                "device_id": job.hardware.device.index or 0,
                "user_compute_stream": str(job.hardware.stream_handle),
                "use_tf32": "1" if job.way.precision == "tf32" else "0",
            }
            providers: list[Any] = [(CUDA, settings), CPU]
        else:
            options.intra_op_num_threads = torch.get_num_threads()
            providers = [CPU]
        self._session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        if job.hardware.cuda and CUDA not in self._session.get_providers():
            raise Refused(
                "failed",
                f"onnxruntime {self.version} could not load its CUDA provider, and would run on the CPU: its CUDA and "
                "cuDNN must fit PyTorch's",
            )
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def at(self, inputs: Tensor) -> Call:
        shape = (len(inputs), *self._session.get_outputs()[0].shape[1:])
        answer = torch.empty(shape, dtype=inputs.dtype, device=inputs.device)
        binding, element = self._session.io_binding(), ELEMENTS[inputs.dtype]
        place = (inputs.device.type, inputs.device.index or 0, element)
        binding.bind_input(INPUT, *place, tuple(inputs.shape), inputs.data_ptr())
        binding.bind_output(OUTPUT, *place, shape, answer.data_ptr())
        run, options = self._session.run_with_iobinding, self._run_options

        def call(_kept: Tensor = inputs) -> Tensor:  # the binding has only the input's address
            run(binding, options)
            return answer

        return call


class TensorRt:
    """The engine on PyTorch's stream, an execution context a batch."""

    def __init__(self, job: Job) -> None:
        import tensorrt

        self.version = tensorrt.__version__
        self._batches, self._hardware = job.batches, job.hardware
        content = job.stem.with_suffix(".engine").read_bytes()
        self.size = len(content)
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise Refused("failed", f"TensorRT {self.version} does not load its own engine; its words are above")

    def at(self, inputs: Tensor) -> Call:
        stream = self._hardware.stream_handle
        context = self._engine.create_execution_context()
        context.set_optimization_profile_async(self._batches.index(len(inputs)), stream)
        context.set_input_shape(INPUT, tuple(inputs.shape))
        answer = torch.empty(tuple(context.get_tensor_shape(OUTPUT)), dtype=inputs.dtype, device=inputs.device)
        context.set_tensor_address(INPUT, inputs.data_ptr())
        context.set_tensor_address(OUTPUT, answer.data_ptr())
        execute = context.execute_async_v3

        def call(_kept: Tensor = inputs) -> Tensor:
            if not execute(stream):
                raise RuntimeError("TensorRT could not queue its work")
            return answer

        return call
