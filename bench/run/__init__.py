"""What a run (`compress run`) found out: its results, verdicts and budget, its table, plots and report."""
