"""Rounding simulated in PyTorch, and the way from there to a quantized file."""
