"""Two runs, or two benchmarks, and what changed between them beyond noise: `compress diff`."""
