"""Where a benchmark runs. One kind of device a module; all have the one method of ``base.Device``."""
