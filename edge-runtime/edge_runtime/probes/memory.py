"""How much memory a model takes: the resident set of a fresh process that does nothing but load and run it.

A process that has loaded other models cannot tell what one of them costs: allocators keep what they once had. So `peak`
has a process of its own do it (``fresh``), which notes its resident set before the engine is imported, after the model
is loaded, and its highest one from then to the end of some inferences. That is what the kernel counts (VmRSS, VmHWM in
/proc/self/status), and what it kills for; getrusage would not do: it keeps its parent's peak.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

from edge_runtime.errors import EdgeRuntimeError, ProbeError

SECONDS = 300.0
RESET_PEAK = "5"
"""Written to /proc/self/clear_refs, this sets VmHWM back to VmRSS. https://docs.kernel.org/filesystems/proc.html"""


@dataclass(frozen=True)
class PeakMemory:
    """Bytes of resident memory: Python with numpy alone; with engine and model loaded; and the highest from then on,
    loading included. What a model costs is a difference to ``interpreter``; what a device must have is ``peak``."""

    interpreter: int
    loaded: int
    peak: int


def peak(
    path: str | PathLike[str],
    runtime: str | None,
    threads: int,
    input_shape: Sequence[int],
    dtype: str,
    *,
    seconds: float = SECONDS,
    folders: Sequence[str | PathLike[str]] = (),
) -> PeakMemory:
    """Load and run a model in a fresh process; every input gets a random array of this shape and dtype.

    ``folders``: where a runtime may import a user's own code from, last of all.
    Raises what the process raised (EdgeRuntimeError); ProbeError when it is killed, or takes longer than ``seconds``.
    """
    from edge_runtime.probes import fresh  # whose process imports this module, and nothing that it does not need

    job = fresh.Job(
        path=str(Path(path).absolute()),
        runtime=runtime,
        threads=threads,
        folders=tuple(str(Path(folder).absolute()) for folder in folders),
        shape=tuple(input_shape),
        dtype=dtype,
    )
    found = fresh.run(job, seconds=seconds).memory
    return PeakMemory(**{part: found[part] for part in ("interpreter", "loaded", "peak")})


def reset_peak() -> None:
    """Let VmHWM begin anew. Where the kernel does not allow it, a fresh process has hardly had a higher peak."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process, in bytes. Raises ProbeError where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError as error:
        raise ProbeError(f"memory is read from Linux's /proc/self/status, which is not there: {error}") from error
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_runtime.probes.memory", description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--runtime", help="onnxruntime, openvino, ...; without it guessed from the suffix")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", required=True, help="of every input, such as 1,3,224,224")
    parser.add_argument("--dtype", default="float32", help="of every input")
    parser.add_argument("--folder", action="append", default=[], help="to import from; may be repeated")
    given = parser.parse_args()
    try:
        shape = [int(size) for size in given.shape.split(",")]
        found = peak(given.model, given.runtime, given.threads, shape, given.dtype, folders=given.folder)
    except (EdgeRuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
