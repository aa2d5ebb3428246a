"""YAML 1.2 as plain values, with the place in the file of everything in it.

Only what JSON can hold is read: mappings with text keys, lists, text, numbers, true, false and null. Anchors, aliases
and `<<` merges are expanded, within limits, so that a small file cannot become a huge value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from compress.errors import RecipeError

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # after aliases are expanded
MAX_DEPTH = 50
MERGE = "tag:yaml.org,2002:merge"

Where = tuple[str | int, ...]


class Place(NamedTuple):
    """``recipes/x.yaml:12``, or the command-line override that put a value there (line 0)."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass
class Located:
    """A value, and the place of each thing in it by its keys and indices from the root."""

    value: Any = None
    places: dict[Where, Place] = field(default_factory=dict)

    def place(self, where: Where) -> Place:
        """The place of ``where``, or of the nearest thing around it that was written."""
        for length in range(len(where), -1, -1):
            if where[:length] in self.places:
                return self.places[where[:length]]
        return Place("")


def parse(text: str, source: str) -> Located:
    """Parse one YAML document; ``source`` names it in messages. Raises :class:`RecipeError`."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    try:
        root = yaml.compose(text)
        if root is None:
            return Located(None, {(): Place(source, 1)})
        return _Reader(yaml, source).read(root)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        hint = "; indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""
        raise RecipeError(f"{place}: not valid YAML: {error.problem or error.context}{hint}") from error
    except YAMLError as error:
        raise RecipeError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error


class _Composer(Composer):
    """Stops at the depth that no recipe has, long before Python's recursion does."""

    _depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.parser.peek_event().start_mark
            raise ComposerError(problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reader:
    def __init__(self, yaml: YAML, source: str) -> None:
        self._yaml, self._source = yaml, source
        self._places: dict[Where, Place] = {}
        self._count = 0

    def read(self, root: Node) -> Located:
        return Located(self._value(root, (), root), self._places)

    def _value(self, node: Node, where: Where, key: Node) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or len(where) > MAX_DEPTH:
            limits = f"{MAX_VALUES} values and {MAX_DEPTH} levels, once aliases are expanded"
            self._refuse(node, f"too large: a recipe has at most {limits}")
        self._places[where] = Place(self._source, key.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, SequenceNode):
            return [self._value(item, (*where, index), item) for index, item in enumerate(node.value)]
        pairs = self._pairs(node, 0)
        return {name: self._value(value, (*where, name), key) for name, (key, value) in pairs.items()}

    def _pairs(self, node: MappingNode, depth: int) -> dict[str, tuple[Node, Node]]:
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                for part in value.value if isinstance(value, SequenceNode) else [value]:
                    if not isinstance(part, MappingNode) or depth > MAX_DEPTH:
                        self._refuse(key, "'<<' merges mappings only")
                    merged = self._pairs(part, depth + 1) | merged
                continue
            if not isinstance(key, ScalarNode) or not isinstance(name := self._scalar(key), str):
                self._refuse(key, "keys must be text: put quotes around it")
            if name in own:
                self._refuse(key, f"'{name}' stands twice; the first is in line {own[name][0].start_mark.line + 1}")
            own[name] = (key, value)
        return merged | own

    def _scalar(self, node: ScalarNode) -> Any:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind in ("str", "timestamp"):
            return node.value
        if kind not in ("null", "bool", "int", "float"):
            self._refuse(node, f"tag '{node.tag}' is not understood: write plain text, numbers, lists and mappings")
        try:
            value = getattr(self._yaml.constructor, f"construct_yaml_{kind}")(node)
        except ValueError:  # an explicit tag on other text, such as `!!int many`
            self._refuse(node, f"'{node.value}' is no {kind}")
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(node, f"'{node.value}' is not a finite number")
        return value

    def _refuse(self, node: Node, message: str) -> None:
        raise RecipeError(f"{Place(self._source, node.start_mark.line + 1)}: {message}")
