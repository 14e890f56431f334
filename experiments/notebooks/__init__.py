"""Notebooks of one question each, and the command that opens or runs them (`python -m experiments.notebooks`)."""
