"""What is changed before or after rounding so that rounding costs less: one correction a file, on ONNX graphs."""
