"""Watching what a model is given and what it answers: latency, errors, and whether the inputs have changed."""
