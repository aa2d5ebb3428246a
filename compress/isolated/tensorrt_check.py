"""Run in the environment `tensorrt`: parse an ONNX file strongly typed and build an engine of it. No GPU is needed.

    python tensorrt_check.py model.onnx

Prints JSON: `version`, `bytes` of the engine (null: refused), `problems` (a list of words), `layers`.
"""

import json
import sys

import tensorrt_rtx as trt


class Problems(trt.ILogger):
    """Keeps what TensorRT complains about."""

    def __init__(self):
        super().__init__()
        self.found = []

    def log(self, severity, message):
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            self.found.append(" ".join(message.split()))


def check(path):
    problems = Problems()
    builder = trt.Builder(problems)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, problems)
    engine = None
    if parser.parse_from_file(path):
        configuration = builder.create_builder_config()
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            # Any free axis may be 1 to 8: it is the operators that are checked.
            shapes = [tuple(size if size > 0 else free for size in tensor.shape) for free in (1, 1, 8)]
            profile.set_shape(tensor.name, *shapes)
        configuration.add_optimization_profile(profile)
        engine = builder.build_serialized_network(network, configuration)
    return {
        "version": trt.__version__,
        "bytes": engine and engine.nbytes,
        "problems": list(dict.fromkeys(problems.found)),
        "layers": network.num_layers,
    }


print(json.dumps(check(sys.argv[1])))
