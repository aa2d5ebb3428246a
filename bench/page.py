"""What the HTML pages share: their look, and the little program that sorts and filters their tables.

A page is one file that needs nothing else: no network, no font, no library. Its only program is ours, and the page's
own policy lets a browser run no other: whatever a name or a message might smuggle in stays text.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """``script``: the program; ``policy``: the Content-Security-Policy that allows it and nothing else."""

    script: Markup
    policy: str


@cache
def page() -> Page:
    """The same for every page."""
    script = (HERE / "tables.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return Page(Markup(script), policy)


def engine() -> Environment:
    """Templates of this folder and those below it, escaping all text; ``page`` is known in each of them."""
    found = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.globals["page"] = page()
    return found
