"""Conformance: NVIDIA's own client, unchanged, against this server.

Its package asks for an older ml_dtypes than this environment has (only for BF16, which is not used here), so it is
installed into a folder of its own, without what it depends on but for what HTTP needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import make_bundle
from serving import expected, running

pytestmark = pytest.mark.integration

CLIENT = (
    "tritonclient==2.73.0",
    "geventhttpclient==2.6.1",
    "gevent==26.9.0",
    "greenlet==3.3.2",
    "zope.event==6.2",
    "zope.interface==8.7",
    "python-rapidjson==1.25",
    "urllib3==2.8.0",
    "certifi==2026.10.18",
    "brotli==1.2.1",
)
SCRIPT = Path(__file__).with_name("triton_client.py")
CHECKS = [line.split()[1].partition("(")[0] for line in SCRIPT.read_text().split("@check\n")[1:]]


@pytest.fixture(scope="module")
def client() -> Path:
    """The folder with the client's packages."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compress" / "tests"
    folder = cache / CLIENT[0].replace("==", "-")
    if not (folder / "complete").is_file():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--upgrade", "--target", folder, *CLIENT], check=True)
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="module")
def results(client: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What became of each check."""
    folder = tmp_path_factory.mktemp("triton")
    inputs, outputs = expected()
    np.save(folder / "inputs.npy", inputs)
    np.save(folder / "outputs.npy", outputs)
    with running("--bundle", make_bundle(folder), home=folder) as server:
        done = subprocess.run(
            [sys.executable, SCRIPT, f"localhost:{server.port}", folder / "inputs.npy", folder / "outputs.npy"],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(client)},
        )
    assert done.returncode == 0, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.parametrize("name", CHECKS)
def test_tritonclient(results, name):
    assert results[name] is None
