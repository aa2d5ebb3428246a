"""Whether a quantized file is what it claims: which layers run in int8, and whether sums overflow."""
