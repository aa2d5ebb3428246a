"""The floor under an inference: its MACs and bytes against the peaks of the machine."""
