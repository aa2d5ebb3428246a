"""The project's own promises, measured: what `make bench` prints, and README and docs quote."""
