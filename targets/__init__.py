"""The hardware: devices as YAML, the int8 scheme of each, one exporter per file format."""
