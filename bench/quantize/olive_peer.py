"""One static quantization by Olive, with its defaults, in Olive's own environment; `peers.py` runs this.

Arguments: the float ONNX file, an .npy file of calibration inputs, the file to write. Prints the seconds of the call.
"""

import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from olive.data.config import DataComponentConfig, DataConfig
from olive.data.registry import Registry
from olive.hardware.accelerator import DEFAULT_CPU_ACCELERATOR
from olive.model import ONNXModelHandler
from olive.passes.olive_pass import create_pass_from_dict
from olive.passes.onnx.quantization import OnnxStaticQuantization


class _Samples:
    def __init__(self, path: str) -> None:
        self._inputs = np.load(path)

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, index: int):
        return {"input": self._inputs[index]}, 0


@Registry.register_dataset("samples")
def _samples(path: str, **_: object) -> _Samples:
    return _Samples(path)


def main(model: str, samples: str, out: str) -> None:
    logging.disable(logging.WARNING)
    data = DataConfig(
        name="calibration",
        load_dataset_config=DataComponentConfig(type="samples", params={"path": samples}),
        pre_process_data_config=DataComponentConfig(type="skip_pre_process"),
        post_process_data_config=DataComponentConfig(type="skip_post_process"),
    )
    quantizer = create_pass_from_dict(
        OnnxStaticQuantization, {"data_config": data}, disable_search=True, accelerator_spec=DEFAULT_CPU_ACCELERATOR
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        made = quantizer.run(ONNXModelHandler(model), str(Path(folder) / "model"))
        seconds = time.perf_counter() - started
        shutil.copyfile(made.model_path, out)
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
