"""Post-training quantization: one method a file. Which number formats suit a device is the scheme's (``targets/scheme.py``)."""
