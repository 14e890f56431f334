"""Residual networks for the bridge: sizes, layers, and a network as pure functions over nested dictionaries (flax)."""

from dynsim.bridge.networks.network import Network, Outputs, build
from dynsim.bridge.networks.shapes import NetworkShape

__all__ = ["Network", "NetworkShape", "Outputs", "build"]
