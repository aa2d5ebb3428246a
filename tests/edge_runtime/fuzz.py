"""Fuzzing led by coverage: atheris looks for bytes that reach new lines of the readers of untrusted bytes.

    python tests/edge_runtime/fuzz.py [--seconds 300] [TARGET ...]

Not part of the test suite: it takes as long as it is given, and atheris (``pip install atheris``) has no wheel for some
versions of Python. The oracles are those of the hypothesis tests. Every target runs in a process of its own; one that
crashes, hangs for 10 s or takes more than 2 GB leaves its input in the working folder, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def targets(folder: Path) -> dict[str, tuple[Callable[[bytes], object], list[bytes]]]:
    """By name: what is done with the bytes, and bytes to begin with."""
    import numpy as np
    import oracles
    from bundles import KEY
    from forged import signed, small, zipped

    from edge_runtime.bundle.manifest import canonical

    sound, files = small()
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 2, 2], "data": [1, 2, 3, 4]}
    tokens = {"name": "tokens", "datatype": "INT64", "shape": [1, 2], "data": [[5, 6]]}
    plain = json.dumps({"id": "7", "inputs": [pixels, tokens], "outputs": [{"name": "logits"}]}).encode()
    tokens = {"name": "tokens", "datatype": "INT64", "shape": [1, 1], "parameters": {"binary_data_size": 8}}
    binary = json.dumps({"inputs": [pixels, tokens], "parameters": {"binary_data_output": True}}).encode()
    array = folder / "array.npy"
    np.save(array, np.zeros((2, 3), np.float32))
    form = b"--b\r\nContent-Disposition: form-data; name=file; filename=x\r\n\r\ncontent\r\n--b--\r\n"

    def request_with_tail(data: bytes) -> None:
        length = int.from_bytes(data[:2], "little")
        oracles.request(data[2:], length)

    def signed_manifest(data: bytes) -> None:
        oracles.bundle(folder, zipped(signed(data, files)), may_pass=True)

    return {
        "manifest": (oracles.manifest_text, [canonical(sound)]),
        "signed-manifest": (signed_manifest, [canonical(sound)]),
        "archive": (
            lambda data: oracles.bundle(folder, data, may_pass=data == oracles.ARCHIVE),
            [oracles.ARCHIVE],
        ),
        "key": (lambda data: oracles.key_file(folder, data), [KEY.public.line().encode()]),
        "npy": (oracles.array_file, [array.read_bytes()]),
        "request": (lambda data: oracles.request(data, None), [plain]),
        "binary-request": (request_with_tail, [len(binary).to_bytes(2, "little") + binary + bytes(8)]),
        "predict-json": (
            lambda data: oracles.item_for_predict(data, b"application/json", b""),
            [b"[[[1, 2.5]]]", b'{"data": [[[0, -1e3]]]}', b'{"text": "words"}'],
        ),
        "predict-array": (
            lambda data: oracles.item_for_predict(data, b"application/octet-stream", b""),
            [array.read_bytes()],
        ),
        "predict-form": (lambda data: oracles.item_for_predict(data, b"multipart/form-data", b"b"), [form]),
    }


def fuzz(name: str, seconds: int) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    with tempfile.TemporaryDirectory() as folder:
        with atheris.instrument_imports(include=["edge_runtime"]):
            run, seeds = targets(Path(folder))[name]
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for index, seed in enumerate(seeds):
            (corpus / f"seed-{index}").write_bytes(seed)
        # The seeds' own words, so that JSON with the right keys is found in seconds.
        words = sorted({word for seed in seeds for word in re.findall(rb"[A-Za-z_]{3,}", seed[:20000])})
        dictionary = Path(folder) / "words"
        dictionary.write_text("".join(f'"{word.decode()}"\n' for word in words))
        limits = ["-timeout=10", "-rss_limit_mb=2000", "-max_len=20000", "-print_final_stats=1", "-verbosity=0"]
        atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", f"-dict={dictionary}", *limits, str(corpus)], run)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", help="all of them without one")
    parser.add_argument("--seconds", type=int, default=300, help="for each target")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:  # before anything is imported that atheris is to follow
        fuzz(given.target[0], given.seconds)
    with tempfile.TemporaryDirectory() as folder:
        names = list(targets(Path(folder)))
    if unknown := set(given.target) - set(names):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    failed = []
    for name in given.target or names:
        done = subprocess.run(
            [sys.executable, __file__, name, "--seconds", str(given.seconds), "--here"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        runs = next((line.split()[-1] for line in done.stdout.splitlines() if "number_of_executed_units" in line), "?")
        outcome = "sound" if done.returncode == 0 else "FAILED"
        print(f"{name}: {outcome}, {runs} inputs in {given.seconds} s", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout[-4000:], flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
