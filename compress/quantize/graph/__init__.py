"""Reading and writing quantized graphs, and the ranges of their activations."""
