"""Theorem 3.2: what magnitude pruning does."""
