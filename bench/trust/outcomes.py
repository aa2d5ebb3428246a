"""What the trials gave: a JSON object a line, kept when the program ends, however it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """One trial. ``figures``: what the tool told of the first file and of the second, in seconds. ``ratio``: of its
    interval, time(first) / time(second) as value, low, high; None for tools that give none. ``said``: its word.

    ``seconds``: how long it took. ``others``: cores that were busy meanwhile with neither the trial nor its
    neighbour. ``details``: how it ended.
    """

    experiment: str
    tool: str
    model: str
    neighbour: str
    trial: int
    figures: tuple[float, float]
    ratio: tuple[float, float, float] | None
    said: str | None
    seconds: float
    others: float
    at: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        return (self.experiment, self.tool, self.model, self.neighbour, self.trial)


class Outcomes:
    """Those in a file, and new ones added to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str, str, str, int], Outcome] = {}
        if path.exists():
            text = path.read_text("utf-8")
            # A line that was cut off when the program was killed is that of a trial that was not done.
            for line in text.split("\n")[:-1]:
                values = json.loads(line)
                for name in ("figures", "ratio"):
                    values[name] = values[name] and tuple(values[name])
                outcome = Outcome(**values)
                self._found[outcome.key] = outcome
            if not text.endswith("\n"):
                path.write_text(text[: text.rfind("\n") + 1], "utf-8")

    def __contains__(self, key: object) -> bool:
        return key in self._found

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self._found.values())

    def of(self, experiment: str, *, tool: str | None = None, neighbour: str | None = None) -> list[Outcome]:
        """Those of an experiment, in the order of trials."""
        found = (one for one in self if one.experiment == experiment and tool in (None, one.tool))
        return sorted((one for one in found if neighbour in (None, one.neighbour)), key=lambda one: one.trial)

    def add(self, outcome: Outcome) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._found[outcome.key] = outcome
