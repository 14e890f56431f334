"""Residual networks for the bridge."""
