"""Intervals, tests and verdicts over seeds."""
