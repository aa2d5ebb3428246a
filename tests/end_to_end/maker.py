"""Bundles for the stories of a device, as their maker makes them: sound ones, and ones that are broken on purpose."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edge_runtime.bundle import archive
from edge_runtime.bundle.manifest import File
from edge_runtime.bundle.signature import load_private, load_public


@dataclass
class Maker:
    """Whoever makes bundles, by the command line: the run's folder, a key, the bundles made so far, and for what."""

    folder: Path
    run: Path
    target: str = "this-machine"

    @property
    def public(self) -> Path:
        return self.folder / "maker.pub"

    def bundle(self, sequence: int, variant: str) -> Path:
        path = self.folder / f"{sequence}.edge"
        if not path.exists():
            compress(
                "bundle", self.run, "--variant", f"{variant}/{self.target}/onnxruntime", "--sequence", sequence,
                "--key", self.folder / "maker.key", "--licence", "CC0-1.0", "-o", path,
            )  # fmt: skip
        return path

    def broken(self, sequence: int, sound: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
        """The sound bundle with its files changed, signed as if it were meant."""
        folder = self.folder / f"{sequence}-unpacked"
        folder.mkdir()
        unpacked = archive.unpack(sound, folder, [load_public(self.public)])
        files = {file.path: unpacked.file(file.path).read_bytes() for file in unpacked.manifest.files}
        change(files)
        listed = tuple(File(path, sha256(data).hexdigest(), len(data)) for path, data in files.items())
        manifest = replace(unpacked.manifest, sequence=sequence, files=listed)
        archive.write(
            path := self.folder / f"{sequence}.edge", manifest, files, load_private(self.folder / "maker.key")
        )
        return path


def compress(*arguments: object) -> None:
    command = [sys.executable, "-m", "compress", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def fail_on_white(files: dict[str, bytes]) -> None:
    """Let the model fail on a picture with a pixel of 255: it then looks for the second number of a list of one."""
    model = onnx.load_from_string(files["model/model.onnx"])
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["sound" if name == "logits" else name for name in names]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(255, np.int64), "white"),
            numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Cast", ["input"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["wide"], ["brightest"], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Div", ["whole", "white"], ["place"]),
            helper.make_node("Gather", ["nothing", "place"], ["found"]),
            helper.make_node("Add", ["sound", "found"], ["logits"]),
        ]
    )
    files["model/model.onnx"] = model.SerializeToString()
