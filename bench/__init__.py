"""From samples to an answer: statistics, results, verdicts, tables, plots and the report."""
