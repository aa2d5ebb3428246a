"""Post-training quantization, one method a file. Which number formats suit a device: ``targets/scheme.py``."""
