"""The processor's data caches, as the kernel lists them. On boards whose device tree is silent there are none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.energy.tree import ROOT

UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True)
class Cache:
    """One level. ``size``: bytes of one cache; ``count``: how many there are; ``cores``: processors that share one."""

    level: int
    size: int
    count: int
    cores: int

    def within_reach(self, threads: int) -> int:
        """Bytes of all the caches that so many threads can fill, when every one has a processor of its own."""
        return self.size * min(threads, self.count)


def caches(root: Path = ROOT) -> list[Cache]:
    """From the first level to the last. https://docs.kernel.org/admin-guide/cputopology.html"""
    found: dict[int, dict[str, tuple[int, int]]] = {}
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]*"):
        try:
            level, kind, size, shared = (
                (folder / name).read_text().strip() for name in ("level", "type", "size", "shared_cpu_list")
            )
            if kind in ("Data", "Unified"):
                found.setdefault(int(level), {})[shared] = (_bytes(size), _processors(shared))
        except (OSError, ValueError):
            continue  # a file is missing or empty where the firmware does not tell
    # Cores of different kinds have different caches: the smaller ones bound what is certain to fit.
    return [
        Cache(level, min(size for size, _ in all_.values()), len(all_), max(cores for _, cores in all_.values()))
        for level, all_ in sorted(found.items())
    ]


def _bytes(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else int(text)


def _processors(text: str) -> int:
    """How many ``0-1,4`` names."""
    parts = [part.split("-") for part in text.split(",")]
    return sum(int(part[-1]) - int(part[0]) + 1 for part in parts)
