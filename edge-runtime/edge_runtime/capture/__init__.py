"""Keeping some inputs for labelling: the uncertain, the unusual, and a fair draw, each with its probability."""
