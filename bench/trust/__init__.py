"""What this project promises of its benchmarks, tried: false alarms, slowdowns found, overhead, agreement with others.

    python -m compress.bench.trust [--only false-alarms,slowdown,agreement,work] [--trials N] [--seconds S] [--report]

Every trial is a line of ``outcomes.jsonl``, written when it is done; trials that are there already are not run again.
So a run of hours can be cut into pieces, or killed.
"""
