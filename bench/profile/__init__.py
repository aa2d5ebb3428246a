"""Where an inference spends its time: `compress profile`."""
