"""What /openapi.json promises is kept: Schemathesis makes requests of it, right ones and wrong ones, for a real server.

It answers none of them with 500, each with a status, a media type and a body that the document has, and refuses what
the document does not allow. Schemathesis has an environment of its own: it asks for other versions of what is here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import make_bundle
from serving import running

from edge_runtime.serve.routes import ROUTES

pytestmark = [pytest.mark.integration, pytest.mark.slow]

VERSION = "4.32.5"
EXAMPLES = 40
"""Requests that are made up of each operation, beyond those of its edges; about half a minute."""
ADMIN = "administrators-token-012"


@pytest.fixture(scope="module")
def program() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compress" / "tests"
    folder = cache / f"schemathesis-{VERSION}"
    if not (folder / "complete").is_file():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"schemathesis=={VERSION}"], check=True)
        (folder / "complete").touch()
    return folder / "bin" / "schemathesis"


@pytest.mark.parametrize("headers", [(), ("--header", f"Authorization: Bearer {ADMIN}")], ids=["anybody", "admin"])
def test_the_document_is_kept_to(program, tmp_path, headers):
    home, admin = tmp_path / "home", tmp_path / "admin"
    home.mkdir()
    admin.write_text(ADMIN)
    admin.chmod(0o600)
    with running("--bundle", make_bundle(tmp_path), "--admin-token-file", admin, home=home) as server:
        command = [program, "--config-file", Path(__file__).with_name("schemathesis.toml"), "run"]
        command += [f"http://127.0.0.1:{server.port}/openapi.json", "--max-examples", str(EXAMPLES), "--seed", "1"]
        command += ["--continue-on-failure", "--no-color", *headers]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{len(ROUTES) - 1} selected" in done.stdout, done.stdout  # all but the document itself
        assert server.call("GET", "/v2/health/ready").status == 200
        assert [entry for entry in server.log if entry["level"] == "error"] == []
