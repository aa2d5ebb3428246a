"""The files of a benchmark: one for programs, one for spreadsheets, one for documents, one for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from compress.bench.benchmark import report, results, spreadsheet, table
from compress.bench.benchmark.results import Benchmark
from compress.errors import BenchmarkError
from compress.files import replace_file

TABLE, CSV, REPORT = "table.md", "table.csv", "report.html"


def write(benchmarks: Sequence[Benchmark], folder: Path, *, each: Mapping[str, Path]) -> None:
    """Write ``table.md``, ``table.csv`` and ``report.html`` about all of them to ``folder``, and every one's
    ``benchmark.json`` to its folder in ``each``, by target. Raises BenchmarkError where that cannot be written."""
    texts = {each[b.target] / results.FILE: results.to_json(b) for b in benchmarks}
    texts |= {
        folder / TABLE: table.markdown(benchmarks),
        folder / CSV: spreadsheet.as_csv(benchmarks),
        folder / REPORT: report.render(benchmarks),
    }
    try:
        for path, text in texts.items():
            with replace_file(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"cannot write to {folder}: {error.strerror}; choose another with --out") from error
