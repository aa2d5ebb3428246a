"""Which layers are to blame: each put back into float alone, judged and timed."""
