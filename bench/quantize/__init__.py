"""Figures of quantization on models that people use, from packages that hold their weights. Each is run as a module."""
