"""How `compress run --plan` looks: a line for each step, with what the store has of it."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.table import Table

from compress.plan import Plan, Step
from compress.store import Store

LOG_WIDTH = 140


def show(plan: Plan, store: Store, as_json: bool) -> None:
    """Print the plan to standard output, as a table or as one JSON object a step."""
    if as_json:
        for step in plan.steps:
            line = {"step": step.label, "kind": step.kind, "stored": cached(step, store), "key": step.key}
            print(json.dumps(line | {"inputs": step.inputs, "does": step.words, "work": step.work}))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("step", "what it does", "work", "stored"):
        table.add_column(column, overflow="fold", no_wrap=column != "what it does")
    for step in plan.steps:
        table.add_row(step.label, step.words, step.work, cached(step, store))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else LOG_WIDTH, highlight=False)
    console.print(table)
    for variant in plan.variants:
        if variant.not_measured and variant.order == 0:
            console.print(f"not measured: {variant.target}, {variant.runtime}: {variant.not_measured}")


def cached(step: Step, store: Store) -> str:
    """``yes``, ``no``, ``unknown`` where the key needs data that was not read, ``-`` for what is never stored."""
    if not step.stored:
        return "-"
    if step.key is None:
        return "unknown"
    return "yes" if store.get(step.key) else "no"
