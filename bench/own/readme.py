"""The README's benchmark section, measured anew: ``python -m compress.bench.own.readme [RUN]``.

``compress bench`` measures the teacher and the student of a finished run (the quickstart's by default) on both runtimes
of this machine; its table goes between the two marks in README.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- python -m compress.bench.own.readme -->\n", "<!-- end -->\n"
MODELS = {
    "teacher/onnxruntime": "onnxruntime/teacher.onnx",
    "student/onnxruntime": "onnxruntime/quantize.onnx",
    "teacher/openvino": "openvino/teacher.xml",
    "student/openvino": "openvino/quantize.xml",
}


def main(run: Path) -> int:
    models = [f"{name}={run / 'models' / 'this-machine' / path}" for name, path in MODELS.items()]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "compress", "bench", *models, "--seconds", "150", "--roofline"]
        done = subprocess.run([*command, "--out", folder], check=False)
        table = Path(folder) / "table.md"
        if not table.is_file():
            return done.returncode or 1
        words = table.read_text("utf-8").replace("### ", "**").splitlines()
    # Headings in bold: the README has its own.
    section = "\n".join(f"{line}**" if line.startswith("**") and line[-1] != "*" else line for line in words)
    section = section.replace("## this-machine\n\n", "")
    readme = ROOT / "README.md"
    before, begin, rest = readme.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{readme}: has no section between {BEGIN.strip()} and {END.strip()}")
    readme.write_text(f"{before}{BEGIN}\n{section.strip()}\n\n{END}{after}", "utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "runs" / "quickstart")))
