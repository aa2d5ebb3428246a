"""Requests per second by ``wrk`` (Debian's package): a client in C, so that what is measured is the server."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from compress.bench.serve.servers import Endpoint

REPORT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('RESULT {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """``p50`` and ``p99`` in seconds. ``failed``: answers other than 200, and connections lost."""

    requests: int
    seconds: float
    p50: float
    p99: float
    failed: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def load(endpoint: Endpoint, *, connections: int, seconds: int, core: int | None = None) -> Load:
    """Ask as fast as answers come, over so many connections; from one ``core`` of the machine, or any."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed; run: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder) / "body", Path(folder) / "script.lua"
        body.write_bytes(endpoint.body)
        headers = "".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}\n" for k, v in endpoint.headers.items())
        script.write_text(
            f"local f = io.open({json.dumps(str(body))}, 'rb')\nwrk.body = f:read('*a')\nf:close()\n"
            f"wrk.method = 'POST'\n{headers}{REPORT}"
        )
        pinned = [] if core is None else ["taskset", "-c", str(core)]
        command = [*pinned, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script]
        url = f"http://127.0.0.1:{endpoint.port}{endpoint.path}"
        said = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    return Load(**json.loads(said.partition("RESULT ")[2].splitlines()[0]))
