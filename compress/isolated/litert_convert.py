"""Run in the environment `litert`: an exported program (.pt2) to a LiteRT file.

    python litert_convert.py program.pt2 model.tflite

The program takes one tensor called `input`. It is traced once more for a batch of one: the converter cannot leave an
axis free.
"""

import sys

import litert_torch
import torch

source, out = sys.argv[1:]
program = torch.export.load(source)
_, keywords = program.example_inputs
try:
    model = litert_torch.convert(program.module(), sample_kwargs={"input": keywords["input"][:1]})
except Exception as error:  # of four libraries
    # JAX adds a page of advice to its own message.
    words = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
    sys.exit(f"{type(error).__name__}: {words.strip()}")
model.export(out)
