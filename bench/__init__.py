"""Measurements, each one command that prints the machine, the data and the peers of the same run."""
